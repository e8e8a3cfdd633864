import type { FastifyInstance } from 'fastify'
import type { Claims } from './access.ts'

/** How to call the service: three calls to paste, each with a token that holds for twelve hours. */
export function usage (app: FastifyInstance, url: string): string {
  const ada = credentials(app, { sub: 'ada', tenant: 'acme' })
  const lin = credentials(app, { sub: 'lin', tenant: 'globex' })
  return `
Ada of acme writes a note:
curl ${url}/notes ${ada} -H 'content-type: application/json' -d '{"text":"buy milk"}'

Ada exports the notes of acme, as a stream:
curl ${url}/export ${ada}

Lin of globex sees none of them:
curl ${url}/notes ${lin}

Then try /boom (500), /notes/none and /elsewhere (404), no token (401), no tenant (400). Ctrl-C stops the service.
`
}

function credentials (app: FastifyInstance, claims: Claims): string {
  return `-H 'x-tenant-id: ${claims.tenant}' -H 'authorization: Bearer ${app.jwt.sign(claims)}'`
}
