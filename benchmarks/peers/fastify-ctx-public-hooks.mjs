// This package with `reenter: false`: it replaces no function of Node or Fastify, and enters the scope in Fastify's public hooks only, as
// @fastify/request-context does.
import { start as startWith } from './fastify-ctx.mjs'

export async function start (options) {
  return await startWith({ ...options, reenter: false })
}
