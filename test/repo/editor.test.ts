import t from 'tap'
import { Editor } from './editor.ts'

const HEAD = `import Fastify from 'fastify'
import context, { createContext, ctx, key } from 'fastify-ctx'
interface User { readonly id: string }
declare module 'fastify-ctx' {
  interface ContextValues { tenant: string, user: User }
}
const own = createContext({ region: key<string>(), plan: key<'free' | 'paid'>({ seed: () => 'free' }) })
const app = Fastify()
`

t.test('the mouse rests on a name: its docstring is shown', async (t) => {
  const editor = new Editor(`${HEAD}
    ctx.‸get('tenant'); ctx.‸run({}, () => {}); ctx.‸require('tenant')
    app.get('/', async (request) => request.‸ctx.tenant)
    ‸key<string>({ ‸seed: () => 'acme', ‸log: true, ‸carry: true, ‸header: 'x-tenant', ‸locked: true, ‸detach: false, ‸missing: 401 })
    ‸createContext({}, { ‸envelope: {}, ‸propagate: {}, ‸trace: true, ‸diagnostics: false })
    app.register(‸context, { ‸requestId: { ‸header: false }, ‸closeTimeout: 1000, ‸keys: { user: { ‸seed: () => undefined, ‸log: true, ‸carry: true, ‸header: 'x-user', ‸locked: true, ‸missing: 401 } } })
    app.register(own.‸plugin, { ‸requestId: {}, ‸closeTimeout: 1000 })
  `)
  t.same(editor.complaints(), [])
  const hovers = editor.hovers()
  t.equal(hovers.length, 31)
  t.same(hovers.filter(({ text }) => text === '').map(({ name }) => name), [])

  t.test('of an export, with an example', async (t) => {
    for (const name of ['get', 'run', 'require', 'key', 'createContext', 'context']) {
      const { examples } = hovers.find((hover) => hover.name === name)!
      t.equal(examples.length, 1, name)
      t.match(examples[0], `${name}`, `${name}: it shows the call`)
    }
  })

  t.test('of an option, with its default if it has one', async (t) => {
    for (const name of ['locked', 'detach', 'missing', 'closeTimeout', 'propagate', 'trace', 'diagnostics']) t.match(hovers.find((hover) => hover.name === name)!.text, /Default/, name)
  })

  t.test('with the type of the key', async (t) => {
    const [get] = hovers
    t.match(get!.type, /\(key: "tenant"\): string \| undefined/)
  })
})

t.test('completion offers exactly the valid names', async (t) => {
  const members = ['get', 'require', 'has', 'set', 'run', 'impersonate', 'actor', 'bind', 'snapshot', 'bindEmitter', 'bindIterable', 'cache', 'memo', 'onEnd', 'detach', 'after', 'signal', 'deadline', 'log', 'mixin', 'dehydrate', 'hydrate', 'explain', 'policy', 'inFlight', 'trace', 'headersFor', 'interceptor', 'exit', 'fields', 'entries', 'root', 'messageId']
  const options = ['requestId', 'closeTimeout', 'reenter', 'keys', 'envelope', 'propagate', 'trace', 'diagnostics', 'onImpersonate', 'cacheMax']
  const policy = ['seed', 'schema', 'log', 'carry', 'detach', 'header', 'locked', 'missing']
  const fastifys = ['prefix', 'logLevel', 'logSerializers']
  for (const [code, offered] of [
    ["ctx.get('‸')", ['requestId', 'tenant', 'user']],
    ["ctx.require('‸')", ['requestId', 'tenant', 'user']],
    ["ctx.set('‸', 'acme')", ['tenant', 'user']],
    ['ctx.run({ ‸ }, () => {})', ['requestId', 'tenant', 'user']],
    ["own.get('‸')", ['requestId', 'region', 'plan']],
    ["own.set('‸', 'eu')", ['region', 'plan']],
    ["app.get('/', async (request) => request.ctx.‸)", ['requestId', 'tenant', 'user', ...members]],
    ["app.get('/', async (request) => request.ctx.get('‸'))", ['requestId', 'tenant', 'user']],
    ["app.get('/', { config: { context: { require: ['‸'] } } }, async () => 1)", ['requestId', 'tenant', 'user']],
    ['app.register(context, { ‸ })', [...options, ...fastifys]],
    ['app.register(context, { keys: { ‸ } })', ['tenant', 'user']],
    ['app.register(context, { keys: { tenant: { ‸ } } })', policy],
    ['key<string>({ ‸ })', policy],
    ['createContext({}, { ‸ })', ['envelope', 'propagate', 'trace', 'diagnostics', 'onImpersonate', 'cacheMax']]
  ] as const) {
    t.same(new Editor(HEAD + code).offers().sort(), [...offered].sort(), code)
  }
})

t.test('a mistake: the compiler error names it and the right form in a few words', async (t) => {
  for (const [code, words, most = 160] of [
    ["ctx.get('tenat')", ['"tenat"', '"tenant"', '"user"', '"requestId"']],
    ["ctx.require('tenat')", ['"tenat"', '"tenant"', '"user"', '"requestId"']],
    ["ctx.has('tenat')", ['"tenat"', '"tenant"', '"user"', '"requestId"']],
    ["own.get('regin')", ['"regin"', '"region"', '"plan"', '"requestId"']],
    ["ctx.set('tenant', 1)", ["'number'", "'string'"]],
    ["own.set('plan', 'gold')", ['"gold"', '"free"', '"paid"']],
    ["ctx.set('requestId', 'x')", ['"requestId"', '"tenant"', '"user"']],
    ["app.get('/', async (request) => { request.ctx.requestId = 'x' })", ['requestId', 'read-only']],
    ["ctx.run({ tenat: 'acme' }, () => {})", ["'tenat'", "'tenant'"]],
    ['ctx.run({ tenant: 1 }, () => {})', ["'number'", "'string'"]],
    ["app.get('/', async (request) => request.ctx.tenat)", ["'tenat'", "'tenant'"]],
    ["app.get('/', { config: { context: { require: ['tenat'] } } }, async () => 1)", ['"tenat"', '"tenant"', '"user"', '"requestId"'], 220],
    ["app.route({ method: 'GET', url: '/', config: { context: { require: ['user', 'tenat'] } }, handler: async () => 1 })", ['"tenat"', '"tenant"', '"user"', '"requestId"'], 220],
    ["const tenant: string = ctx.get('tenant')", ["'undefined'", "'string'"]],
    ['createContext({ tenant: { log: true } })', ["'log'", 'Key<']],
    ['createContext({}, { propagat: {} })', ["'propagat'", "'propagate'"]],
    // A call that always throws does not compile, and the error says why.
    ["ctx.impersonate({ requestId: 'x' }, { reason: 'support' }, () => {})", ['an impersonation keeps the request id: leave it out']],
    ['createContext({ get: key<string>() })', ['request.ctx has a member of this name: choose another name for the key'], 500],
    ['key<Date>({ carry: true })', ['JSON cannot represent such a value: give carry { pack, unpack }'], 700],
    ['key<() => void>({ carry: true })', ['JSON cannot represent such a value: give carry { pack, unpack }'], 700],
    // Each of the two overloads is reported.
    ["key<string>({ sed: () => 'acme' })", ["'sed'", "'seed'"], 700],
    ["key<string>({ log: 'yes' })", ['boolean | ((value: string) => unknown)'], 600],
    // The overloads of Fastify's register.
    ['app.register(context, { keys: { tenat: {} } })', ["'tenat'", "Did you mean to write 'tenant'?"], 1800],
    ['app.register(context, { keys: { tenant: { logg: true } } })', ["'logg'", 'KeyPolicy<string'], 1800],
    ['app.register(context, { closeTimout: 1 })', ["'closeTimout'", 'ReadyMadeOptions'], 1800]
  ] as ReadonlyArray<[string, string[], number?]>) {
    const complaints = new Editor(HEAD + code).complaints()
    t.equal(complaints.length, 1, `${code}: one error`)
    t.same(words.filter((word) => !complaints[0]!.includes(word)), [], `${code}: ${complaints[0]}`)
    t.ok(complaints[0]!.length <= most, `${code}: ${complaints[0]!.length} characters`)
  }
})
