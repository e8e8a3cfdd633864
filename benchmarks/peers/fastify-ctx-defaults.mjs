// This package as it comes: it also reads the header `x-request-id`, makes a random UUID where there is none, and answers
// with the id in a header. The others do none of that.
import { start as startWith } from './fastify-ctx.mjs'

export async function start (options) {
  return await startWith({ ...options, requestId: {} })
}
