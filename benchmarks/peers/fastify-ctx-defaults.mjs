// This package with its defaults: it also reads the header `x-request-id`, creates a random UUID if there is none, and sends the id in a response header. The
// others do none of this.
import { start as startWith } from './fastify-ctx.mjs'

export async function start (options) {
  return await startWith({ ...options, requestId: {} })
}
