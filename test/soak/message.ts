import { canary } from '../support/canary.ts'
import type { Message } from '../support/client.ts'
import type { Planned } from './shapes.ts'
import { identityOf } from './visit.ts'

const BOUNDARY = 'part-of-a-soak'

const TYPES: Readonly<Record<string, string>> = {
  json: 'application/json',
  parts: 'text/parts',
  multipart: `multipart/form-data; boundary=${BOUNDARY}`
}

/** A planned request as it is sent: who sends it, and what it does. */
export function messageOf (planned: Planned): Message {
  const { n, name, via, parts, abort } = planned
  const { requestId, tenant } = identityOf(n)
  const type = TYPES[name]
  return {
    via,
    abort,
    path: `/${name}`,
    method: type === undefined ? 'GET' : 'POST',
    headers: {
      'x-number': String(n),
      'x-parts': String(parts),
      'x-abort': abort,
      'x-request-id': requestId,
      'x-tenant-id': tenant,
      'x-token': canary(n, 'token'),
      ...(type === undefined ? undefined : { 'content-type': type })
    },
    body: bodyOf(planned),
    patience: parts * 4
  }
}

function bodyOf ({ n, name, parts }: Planned): string[] {
  const texts = Array.from({ length: parts }, () => `${canary(n, 'body')} `)
  if (name === 'json') return ['"', ...texts, '"']
  if (name === 'parts') return texts
  if (name !== 'multipart') return []
  return [
    `--${BOUNDARY}\r\ncontent-disposition: form-data; name="field"\r\n\r\n${canary(n, 'body')}\r\n`,
    `--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="${canary(n, 'file')}"\r\ncontent-type: text/plain\r\n\r\n`,
    ...texts,
    `\r\n--${BOUNDARY}--\r\n`
  ]
}
