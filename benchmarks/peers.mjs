// Which version of what is measured, and on which Node it may run.
import { readFileSync } from 'node:fs'

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
