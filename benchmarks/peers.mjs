// What is measured: by which service, in which version, and on which Node it may run.
import { readFileSync } from 'node:fs'

/** The service of benchmarks/peers that a variant is measured by, where it answers requests. */
const SERVICES = {
  bare: 'bare',
  'bare again': 'bare',
  'als.run by hand': 'by-hand',
  'request-context': 'request-context',
  'fastify-ctx': 'fastify-ctx',
  'fastify-ctx, defaults': 'fastify-ctx-defaults',
  'bare Nest': 'nest',
  'nestjs-cls': 'nestjs-cls'
}

/** The application of a variant, which is loaded in no process that measures another. */
export async function startPeer (variant) {
  const { start } = await import(`./peers/${SERVICES[variant]}.mjs`)
  return await start()
}

/** The packages whose versions decide the figures. */
const PACKAGES = ['fastify', '@fastify/request-context', 'pino', 'nestjs-cls', '@nestjs/core', '@nestjs/platform-fastify']

export function versions () {
  return Object.fromEntries(PACKAGES.map((name) => [name, manifest(name).version]))
}

/** The variants that are of a package with needs of its own. */
const NEEDS = { 'nestjs-cls': 'nestjs-cls', 'cls.get': 'nestjs-cls' }

/** Whether a variant's package says that it runs on a version of Node. */
export function runsOn (variant, version) {
  const name = NEEDS[variant]
  if (name === undefined) return true
  const [, least] = />=\s*(\d+)/.exec(manifest(name).engines?.node) ?? []
  return least === undefined || Number(version.split('.')[0]) >= Number(least)
}

function manifest (name) {
  return JSON.parse(readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url), 'utf8'))
}
