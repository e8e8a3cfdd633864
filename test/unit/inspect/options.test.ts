import t from 'tap'
import { FST_CTX_INSPECT_UNGUARDED, FST_CTX_INVALID_OPTION } from '../../../lib/index.ts'
import { readOptions } from '../../../lib/inspect/options.ts'

const guard = async (): Promise<void> => {}

t.test('inspect requires a preHandler unless unsafe is true', async (t) => {
  for (const options of [{}, { path: '/x' }, { preHandler: [] }, { unsafe: false }]) t.throws(() => readOptions(options), FST_CTX_INSPECT_UNGUARDED, JSON.stringify(options))
  t.same(readOptions({ unsafe: true }), { path: '/_ctx', preHandler: [] })
  t.same(readOptions({ preHandler: guard }), { path: '/_ctx', preHandler: [guard] })
  t.same(readOptions({ path: '/admin/ctx', preHandler: [guard, guard] }), { path: '/admin/ctx', preHandler: [guard, guard] })
})

t.test('options that Fastify adds are not treated as ours', async (t) => {
  t.same(readOptions({ unsafe: true, prefix: '/admin', logLevel: 'warn' } as never), { path: '/_ctx', preHandler: [] })
})

t.test('an option that does not exist, or has the wrong type, is refused', async (t) => {
  for (const options of [
    { prehandler: guard }, { path: 'ctx', unsafe: true }, { path: 7, unsafe: true }, { unsafe: 'yes' }, { preHandler: 'guard' }, { preHandler: [guard, null] }
  ]) t.throws(() => readOptions(options as never), FST_CTX_INVALID_OPTION, JSON.stringify(options))
})

t.test('a property of Object.prototype is not an option', async (t) => {
  Object.assign(Object.prototype, { unsafe: true })
  try {
    t.throws(() => readOptions({ path: '/x' }), FST_CTX_INSPECT_UNGUARDED)
  } finally {
    delete (Object.prototype as { unsafe?: boolean }).unsafe
  }
})
