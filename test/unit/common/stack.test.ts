import t from 'tap'
import { framesOf, isOwnFrame } from '../../../lib/common/stack.ts'

t.test('framesOf: the calls of a stack, also after a message of several lines, and none without a stack', async (t) => {
  t.same(framesOf('Error: one\nat two\n    at handler (/app/routes.js:12:7)\n    at async /app/index.js:3:1\n  note'), ['handler (/app/routes.js:12:7)', 'async /app/index.js:3:1'])
  t.same(framesOf(undefined), [])
})

t.test('isOwnFrame: files, but not those of Node.js and of dependencies, and nothing without a file', async (t) => {
  for (const frame of ['handler (/app/routes.js:12:7)', 'file:///app/routes.js:12:7', 'handler (C:\\app\\routes.js:12:7)']) t.ok(isOwnFrame(frame), frame)
  for (const frame of ['new Promise (<anonymous>)', 'process.emit (node:events:518:28)', 'run (/app/node_modules/pino/pino.js:1:1)', 'run (C:\\app\\node_modules\\pino\\pino.js:1:1)']) t.notOk(isOwnFrame(frame), frame)
})
