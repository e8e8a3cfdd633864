import { pino, type LoggerOptions } from 'pino'
import t from 'tap'
import { fieldText, keepField, KeptField, lineText } from '../../../lib/logging/field-text.ts'
import { pinoSymbols, type PinoLogger } from '../../../lib/logging/pino-seams.ts'
import { turns, warnings } from '../../support/support.ts'

/** Fields as text by lineText, and as a pino child with the same bindings writes them. */
function both (fields: Record<string, unknown>, options: LoggerOptions = {}): { readonly ours: string, readonly pinos: string } {
  const logger = pino({ base: null, ...options }, { write () {} })
  const symbols = pinoSymbols(logger)!
  const { text } = lineText(logger as unknown as PinoLogger, symbols)(fields, '')
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
  t.test(`${what}: the text is what pino binds`, async (t) => {
    const { ours, pinos } = both(fields)
    t.equal(ours, pinos)
    JSON.parse(`{${ours.slice(1)}}`)
  })
}

t.test('serializers and redaction: the text is what pino binds', async (t) => {
  const fields = { reqId: 'a', tenant: 'acme', user: { id: 'u1', token: 'hush' } }
  for (const options of [
    { serializers: { tenant: (tenant: string) => tenant.toUpperCase() } },
    { redact: ['tenant', 'user.token'] },
    { redact: { paths: ['tenant'], remove: true } },
    { redact: ['*.token'] }
  ]) {
    const { ours, pinos } = both(fields, options)
    t.equal(ours, pinos)
    t.not(ours, both(fields).ours, 'the serializer has an effect')
  }
})

t.test('lineText returns no text if the logger has bound one of the fields', async (t) => {
  const logger = pino({ base: { tenant: 'its own' } }, { write () {} })
  const symbols = pinoSymbols(logger)!
  const textOf = lineText(logger as unknown as PinoLogger, symbols)
  const own = (logger as unknown as PinoLogger)[symbols.bindings] as string
  const id = `${own},"reqId":"a"`
  t.same(textOf({ reqId: 'a', tenant: 'acme' }, own), { by: logger, own, id, text: undefined })
  t.same(textOf({ reqId: 'a', user: 'ada' }, own), { by: logger, own, text: `${own},"reqId":"a","user":"ada"`, id })
  // setBindings() changes the bindings.
  t.same(textOf({ reqId: 'a', tenant: 'acme' }, ',"user":1').text, ',"user":1,"reqId":"a","tenant":"acme"')
  t.equal(textOf({ reqId: 'a', user: 'ada' }, ',"user":1').text, undefined)
})

/** Fields as a logger with these options writes them when bound. */
function textIn (options: LoggerOptions): (name: string, value: unknown) => string {
  const logger = pino({ base: null, ...options }, { write () {} }) as unknown as PinoLogger
  return fieldText(logger, pinoSymbols(logger)!)
}

t.test('a value that cannot be written has no text, and one warning that names the place, not the value', async (t) => {
  const seen = warnings(t, 'FST_CTX_LOG_FIELD')
  const failing = (): never => { throw new Error('private') }
  t.equal(textIn({ serializers: { serialized: failing } })('serialized', 1), '')
  t.equal(textIn({ redact: { paths: ['censored'], censor: failing } })('censored', 1), '')
  const redacted = textIn({ redact: ['redacted.a'] })
  for (let i = 0; i < 2; i++) t.equal(redacted('redacted', { get a () { return failing() } }), '')
  t.equal(redacted('next', 1), ',"next":1')
  await turns()
  t.same(seen.map(({ message }) => /'(\w+)'/.exec(message)?.[1]), ['serialized', 'censored', 'redacted'])
  t.match((seen[0] as { detail?: string }).detail, /^at .*failing .*field-text\.test/)
  t.notMatch(seen.map((warning) => `${warning.message} ${(warning as { detail?: string }).detail}`).join(), /private/)
})

t.test('a field that pino writes as unserializable is left out too', async (t) => {
  const seen = warnings(t, 'FST_CTX_LOG_FIELD')
  const failing = (): never => { throw new Error('private') }
  const textOf = textIn({})
  for (let i = 0; i < 2; i++) t.equal(textOf('getter', { get a () { return failing() } }), '')
  t.equal(textOf('toJSON', { toJSON: failing }), '')
  t.equal(textOf('bigint', { a: 1n }), ',"bigint":{"a":1}')
  await turns()
  t.same(seen.map(({ message }) => /'(\w+)'/.exec(message)?.[1]), ['getter', 'toJSON'])
})

t.test('keepField writes the kept text if the same functions made it, and hides it if a logger hides more', async (t) => {
  class User {
    readonly name = 'ada'
    readonly email = 'a@b.c'
    getId (): string { return 'u1' }
  }
  const byId = (user: User): string => user.getId()
  const logger = pino({ base: null, serializers: { user: byId } }, { write () {} })
  const kept = keepField('user', new User(), logger)!
  t.equal(kept.json, '"u1"')
  const textOf = (options: object): string => {
    const child = logger.child({}, options) as unknown as PinoLogger
    return fieldText(child, pinoSymbols(child)!)('user', kept)
  }
  t.equal(textOf({}), ',"user":"u1"')
  t.equal(textOf({ level: 'trace' }), ',"user":"u1"')
  t.equal(textOf({ serializers: { user: (user: string) => `${user}!` } }), ',"user":"u1!"')
  t.equal(textOf({ redact: ['user'] }), ',"user":"[Redacted]"', 'and the serializer is not called again')

  const whole = keepField('user', new User(), pino({ base: null }, { write () {} }))!
  t.same(whole.value, { name: 'ada', email: 'a@b.c' })
  t.equal(textIn({ redact: ['user.email'] })('user', whole), ',"user":{"name":"ada","email":"[Redacted]"}')
  t.equal(textIn({ redact: { paths: ['*.email'], remove: true } })('user', whole), ',"user":{"name":"ada"}')
  t.equal(textIn({})('user', whole), ',"user":{"name":"ada","email":"a@b.c"}')
  t.equal(textIn({ serializers: { user: byId } })('user', whole), '', 'a serializer that uses its `this`')
})

t.test('keepField without pino writes JSON, and drops values that are not JSON', async (t) => {
  const circular: Record<string, unknown> = {}
  circular.self = circular
  t.same(keepField('a', { b: 1 }, undefined), new KeptField('{"b":1}', undefined, undefined))
  t.same(keepField('a', { b: 1 }, {}), new KeptField('{"b":1}', undefined, undefined))
  t.equal(keepField('a', circular, undefined), undefined)
  t.equal(keepField('a', { toJSON: () => undefined }, undefined), undefined)
  t.equal(keepField('a', {}, pino({ redact: { paths: ['a'], remove: true } }, { write () {} })), undefined)
})
