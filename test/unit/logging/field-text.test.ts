import { pino, type LoggerOptions } from 'pino'
import t from 'tap'
import { fieldText } from '../../../lib/logging/field-text.ts'
import { pinoSymbols, type PinoLogger } from '../../../lib/logging/pino-seams.ts'

/** What fieldText makes of fields, and what a child of pino has bound with the same. */
function both (fields: Record<string, unknown>, options: LoggerOptions = {}): { readonly ours: string, readonly pinos: string } {
  const logger = pino({ base: null, ...options }, { write () {} })
  const symbols = pinoSymbols(logger)!
  const { text } = fieldText(logger as unknown as PinoLogger, symbols)(fields, '')
  return { ours: text!, pinos: (logger.child(fields) as unknown as PinoLogger)[symbols.bindings] as string }
}

for (const [what, fields] of Object.entries({
  'plain strings': { reqId: 'req-1', tenant: 'acme', user: 'ada@example.com' },
  'strings that JSON escapes': { reqId: 'a', quote: '"', backslash: '\\', line: 'a\nb', tab: '\t', nul: '\0', lone: '\ud800', ends: '\u2028', del: '\u007f', umlaut: 'ü', smile: '😀' },
  'long strings': { reqId: 'x'.repeat(64), more: 'x'.repeat(65), much: `${'x'.repeat(5000)}"` },
  'the empty string': { reqId: '' },
  'other kinds': { reqId: 'a', number: 1, zero: 0, no: false, nothing: null, list: [1, 'b'], object: { a: { b: '"' } }, date: new Date(0), big: 1n },
  'what is no JSON': { reqId: 'a', function: () => 1, symbol: Symbol('x'), nan: NaN }
})) {
  t.test(`${what}: as pino binds them`, async (t) => {
    const { ours, pinos } = both(fields)
    t.equal(ours, pinos)
    JSON.parse(`{${ours.slice(1)}}`)
  })
}

t.test('serializers and redaction: as pino binds them', async (t) => {
  const fields = { reqId: 'a', tenant: 'acme', user: { id: 'u1', token: 'hush' } }
  for (const options of [
    { serializers: { tenant: (tenant: string) => tenant.toUpperCase() } },
    { redact: ['tenant', 'user.token'] },
    { redact: { paths: ['tenant'], remove: true } },
    { redact: ['*.token'] }
  ]) {
    const { ours, pinos } = both(fields, options)
    t.equal(ours, pinos)
    t.not(ours, both(fields).ours, 'it makes a difference')
  }
})

t.test('fields of which one is among what the logger has bound: no text', async (t) => {
  const logger = pino({ base: { tenant: 'its own' } }, { write () {} })
  const symbols = pinoSymbols(logger)!
  const textOf = fieldText(logger as unknown as PinoLogger, symbols)
  const own = (logger as unknown as PinoLogger)[symbols.bindings] as string
  const idEnd = `${own},"reqId":"a"`.length
  t.same(textOf({ reqId: 'a', tenant: 'acme' }, own), { by: logger, own, text: undefined, idEnd })
  t.same(textOf({ reqId: 'a', user: 'ada' }, own), { by: logger, own, text: `${own},"reqId":"a","user":"ada"`, idEnd })
  // After setBindings() it has others.
  t.same(textOf({ reqId: 'a', tenant: 'acme' }, ',"user":1').text, ',"user":1,"reqId":"a","tenant":"acme"')
  t.equal(textOf({ reqId: 'a', user: 'ada' }, ',"user":1').text, undefined)
})
