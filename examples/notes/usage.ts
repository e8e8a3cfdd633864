import type { FastifyInstance } from 'fastify'
import type { Claims } from './context.ts'

/** How to call the service: commands to paste, each with a token that is valid for twelve hours. */
export function usage (app: FastifyInstance, url: string): string {
  const ada = bearer(app, { sub: 'ada', tenant: 'acme' })
  const lin = bearer(app, { sub: 'lin', tenant: 'globex' })
  return `
Ada of acme writes a note:
curl ${url}/notes ${ada} -H 'content-type: application/json' -d '{"text":"buy milk"}'

Lin of globex sees none of it:
curl ${url}/notes ${lin}

Ada wants a report, which another process makes. The answer has its id, as in /reports/<id>:
curl -X POST ${url}/reports ${ada} -H 'x-request-id: demo-1'

Then try /forgotten (no transaction: no rows), /boom (500, rolled back), no token (401). Ctrl-C stops the service.
`
}

function bearer (app: FastifyInstance, claims: Claims): string {
  return `-H 'authorization: Bearer ${app.jwt.sign(claims)}'`
}
