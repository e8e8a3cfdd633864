import type http from 'node:http'
import http2 from 'node:http2'
import type { Readable, Writable } from 'node:stream'

export interface Origins {
  readonly http1: string
  readonly http2: string
}

export type Headers = Readonly<Record<string, unknown>>

/** A request, and the first argument of its 'response' event. */
type Sent<Answer> = Answer extends http.IncomingMessage ? http.ClientRequest : http2.ClientHttp2Stream

/** Writes a request while its response is read, if there is one, until its stream has closed. */
export async function exchange<Answer extends http.IncomingMessage | http2.IncomingHttpHeaders> (request: Sent<Answer>, write: () => Promise<void>, read: (answer: Answer) => Promise<void>): Promise<void> {
  const emitter = request as NodeJS.EventEmitter
  const closed = new Promise((resolve) => { emitter.once('close', resolve) })
  const answered = new Promise<Answer | undefined>((resolve, reject) => {
    emitter.on('response', resolve).on('error', reject).on('close', () => { resolve(undefined) })
  })
  await Promise.all([write(), answered.then(async (answer) => {
    if (answer !== undefined) await read(answer)
  })])
  await closed
}

/**
 * Disconnects at once. Over HTTP/2 with the code that browsers send: after a plain `destroy()`, which sends NO_ERROR, Node 20
 * to 24 may forget a stream that is being answered, and then its server never closes, with or without this plugin.
 */
export function leave (stream: Readable | Writable): void {
  if ('rstCode' in stream) (stream as unknown as http2.ClientHttp2Stream).close(http2.constants.NGHTTP2_CANCEL)
  stream.destroy()
}
