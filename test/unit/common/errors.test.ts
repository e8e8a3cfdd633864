import t from 'tap'
import * as door from '../../../lib/index.ts'
import * as errors from '../../../lib/common/errors.ts'

t.test('each error is exported under its code and says what failed', async (t) => {
  for (const [code, Coded] of Object.entries(errors)) {
    t.equal((door as Record<string, unknown>)[code], Coded)
    const error = new (Coded as new (...args: string[]) => Error & { code: string, statusCode: number })('first', 'second', 'third')
    t.ok(error instanceof Error)
    t.equal(error.code, code)
    t.ok(error.statusCode >= 400, `${code} responds with an error status`)
    t.notMatch(error.message, /%[sdo]/, `${code} has all its parts`)
  }
})

t.test('a programming error is a TypeError', async (t) => {
  for (const code of ['FST_CTX_INVALID_KEY', 'FST_CTX_UNKNOWN_KEY', 'FST_CTX_INVALID_OPTION', 'FST_CTX_INVALID_ARGUMENT'] as const) {
    t.ok(new errors[code]('a', 'b') instanceof TypeError, code)
  }
})

t.test('an error can be recognized by instanceof', async (t) => {
  t.throws(() => { door.createContext({}).require('requestId') }, errors.FST_CTX_NO_SCOPE)
})
