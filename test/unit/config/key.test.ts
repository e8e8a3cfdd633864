import t from 'tap'
import { key, type ReservedName } from '../../../lib/config/key.ts'
import { readKeys } from '../../../lib/config/key-policies.ts'

t.test('key() returns its policy unchanged; the default is closed', async (t) => {
  const log = (user: { id: string }): string => user.id
  t.same(readKeys({ tenant: key<string>() }).logged, [])
  t.same(readKeys({ tenant: key<string>() }).seeds, [])
  t.same([...readKeys({ tenant: key<string>() }).serializedKeys], [])
  t.same([...readKeys({ tenant: key<string>() }).headers], [])
  t.same(readKeys({ user: key<{ id: string }>({ log }) }).logged, [{ name: 'user', log }])
  const carry = { pack: log, unpack: (id: string) => ({ id }) }
  t.same([...readKeys({ user: key<{ id: string }>({ carry, header: 'x-user' }) }).serializedKeys], [['user', carry]])
})

t.test('every name that the types refuse is also refused at run time', async (t) => {
  const reserved: Readonly<Record<ReservedName, true>> = {
    get: true,
    require: true,
    has: true,
    set: true,
    run: true,
    bind: true,
    bindIterable: true,
    snapshot: true,
    bindEmitter: true,
    log: true,
    mixin: true,
    plugin: true,
    configure: true,
    entries: true,
    exit: true,
    fields: true,
    root: true,
    messageId: true,
    impersonate: true,
    actor: true,
    cache: true,
    memo: true,
    onEnd: true,
    detach: true,
    after: true,
    signal: true,
    deadline: true,
    explain: true,
    policy: true,
    inFlight: true,
    dehydrate: true,
    hydrate: true,
    trace: true,
    headersFor: true,
    interceptor: true,
    requestId: true,
    constructor: true,
    toString: true,
    valueOf: true,
    hasOwnProperty: true,
    '': true
  }
  for (const name of Object.keys(reserved)) t.throws(() => readKeys({ [name]: {} }), { code: 'FST_CTX_INVALID_KEY' }, name)
})
