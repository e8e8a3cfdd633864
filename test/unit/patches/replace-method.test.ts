import t from 'tap'
import { isReplacing, markReplacing, replaceMethod } from '../../../lib/patches/replace-method.ts'

t.test('an own or inherited method is replaced by one of the same name and length, and restored', async (t) => {
  class Holder { add (a: number, b: number): number { return a + b } }
  const [inherits, owns] = [new Holder(), Object.assign(Object.create(null), { add: (a: number, b: number) => a + b }) as Holder]
  for (const holder of [inherits, owns]) {
    const { add } = holder
    const before = Object.getOwnPropertyDescriptors(holder)
    const undo = replaceMethod(holder, 'add', (before) => function (this: unknown, ...args) { return 1 + (before.apply(this, args) as number) })
    t.equal(holder.add(1, 2), 4)
    t.same([holder.add.name, holder.add.length], [add.name, 2])
    undo()
    t.strictSame(Object.getOwnPropertyDescriptors(holder), before)
    t.equal(holder.add, add)
  }
})

t.test('a method that another tool replaced in the meantime is not restored', async (t) => {
  const holder = { add: (a: number) => a }
  const undo = replaceMethod(holder, 'add', (before) => before.bind(undefined))
  const theirs = holder.add = (a: number) => -a
  undo()
  t.equal(holder.add, theirs)
})

t.test('a marked method is known as ours, and no property of it shows', async (t) => {
  const method = (): void => {}
  t.equal(isReplacing(method), false)
  t.equal(markReplacing(method), method)
  t.equal(isReplacing(method), true)
  t.same(Reflect.ownKeys(method), ['length', 'name'])
})
