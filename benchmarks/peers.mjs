// The measured variants: their service, their package version, and the versions of Node that they support.
import { readFileSync } from 'node:fs'

/** The service in benchmarks/peers of each variant that answers requests. */
const SERVICES = {
  bare: 'bare',
  'bare again': 'bare',
  'als.run by hand': 'by-hand',
  'request-context': 'request-context',
  'fastify-ctx': 'fastify-ctx',
  'fastify-ctx, reenter: false': 'fastify-ctx-public-hooks',
  'fastify-ctx, defaults': 'fastify-ctx-defaults',
  'bare Nest': 'nest',
  'nestjs-cls': 'nestjs-cls'
}

/** Loads the application of a variant. No process loads two of them. */
export async function startPeer (variant) {
  const { start } = await import(`./peers/${SERVICES[variant]}.mjs`)
  return await start()
}

/** The packages whose versions affect the figures. */
const PACKAGES = ['fastify', '@fastify/request-context', 'pino', 'nestjs-cls', '@nestjs/core', '@nestjs/platform-fastify']

export function versions () {
  return Object.fromEntries(PACKAGES.map((name) => [name, manifest(name).version]))
}

/** The version of this package. */
export function ownVersion () {
  return JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version
}

/** The variants whose packages have their own requirements. */
const NEEDS = { 'nestjs-cls': 'nestjs-cls', 'cls.get': 'nestjs-cls' }

/** Whether a variant's package supports a version of Node. */
export function runsOn (variant, version) {
  const name = NEEDS[variant]
  if (name === undefined) return true
  const [, least] = />=\s*(\d+)/.exec(manifest(name).engines?.node) ?? []
  return least === undefined || Number(version.split('.')[0]) >= Number(least)
}

function manifest (name) {
  return JSON.parse(readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url), 'utf8'))
}
