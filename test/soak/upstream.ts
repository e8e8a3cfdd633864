import { once } from 'node:events'
import http, { type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Shuffle } from '../support/shuffle.ts'
import type { Tally } from './tally.ts'
import { identityOf } from './visit.ts'

/** A server that receives calls at `/<number of the request>`, and checks the values in their headers. */
export interface Upstream {
  readonly server: Server
  /** The origin that must receive values. */
  readonly listed: string
  /** The same server by another name, which is another origin and must receive none. */
  readonly unlisted: string
}

export async function startUpstream (tally: Tally, shuffle: Shuffle): Promise<Upstream> {
  let listed = ''
  const server = http.createServer((request, response) => {
    const { headers } = request
    const n = Number(request.url!.slice(1))
    const { requestId, tenant, user } = identityOf(n)
    const told = `http://${headers.host}` === listed
    tally.headers(n, told ? 'call to a listed origin' : 'call to another origin', headers, {
      'x-request-id': told ? requestId : undefined,
      'x-tenant-id': told ? tenant : undefined,
      'x-user-id': told ? user : undefined
    })
    if (JSON.stringify(request.rawHeaders).includes('-token')) tally.find('failed', `${n}: a key without header was sent`)
    response.write(`canary-${n}-upstream `)
    shuffle.later(() => { response.end('and more') })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  listed = `http://127.0.0.1:${port}`
  return { server, listed, unlisted: `http://localhost:${port}` }
}
