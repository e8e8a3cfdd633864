import { EventEmitter } from 'node:events'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import t from 'tap'
import { rememberCall } from '../../../lib/testing/source.ts'

const HERE = fileURLToPath(import.meta.url)
const lineHere = (): number => Number(/:(\d+):\d+\)?$/.exec(new Error().stack!.split('\n')[2]!)![1])

t.test('the line is the innermost one of the application, not of Node, nor of a package that the application called', async (t) => {
  let line: string | undefined
  const emitter = new EventEmitter()
  let expected = 0
  emitter.on('event', function listener () { expected = lineHere(); line = rememberCall()() })
  emitter.emit('event')
  t.match(line, new RegExp(`^.*listener \\(.*source\\.test\\.ts:${expected}:\\d+\\)$`))
  t.ok(line!.includes(HERE), 'a path, not a URL')
})

t.test('without a caller outside this package and Node there is no line', async (t) => {
  const lines = await new Promise<unknown[]>((resolve) => {
    setImmediate(() => { resolve([rememberCall(fileURLToPath(new URL('../../..', import.meta.url)))()]) })
  })
  t.same(lines, [undefined])
})

t.test('the limit of stack traces is restored', async (t) => {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 1
  t.teardown(() => { Error.stackTraceLimit = stackTraceLimit })
  const deep = (depth: number): string | undefined => depth === 0 ? JSON.parse('1', () => rememberCall()()) as string : deep(depth - 1)
  t.match(deep(20), /source\.test\.ts/)
  t.equal(Error.stackTraceLimit, 1)
})

t.test('in a bundle with our code and the application\'s, no line counts as the application\'s', async (t) => {
  const { outputFiles } = await build({
    stdin: { contents: "import { rememberCall } from './source.ts'; export const remember = () => rememberCall()()", resolveDir: fileURLToPath(new URL('../../../lib/testing', import.meta.url)) },
    bundle: true,
    minify: true,
    platform: 'node',
    format: 'cjs',
    write: false
  })
  const file = join(t.testdir({ 'bundle.cjs': outputFiles[0]!.text, 'app.cjs': "exports.load = () => require('./bundle.cjs').remember()" }), 'app.cjs')
  const { load } = createRequire(import.meta.url)(file) as { load: () => string | undefined }
  t.match(load(), /load \(.*app\.cjs:1:\d+\)$/)
})

t.test('if something else formats stacks, there is no line', async (t) => {
  const { prepareStackTrace } = Error
  t.teardown(() => { Error.prepareStackTrace = prepareStackTrace })
  Error.prepareStackTrace = () => 'a stack of another form'
  t.equal(rememberCall()(), undefined)
})
