// The commands of a program. Each one changes the model, sends an order to the real server, and compares what every thread sees.
import { deepStrictEqual, ok } from 'node:assert/strict'
import fc from 'fast-check'
import { KEYS, Model, ModelScope, type Key, type ModelRequest, type ModelThread, type Values } from './model.ts'
import { AROUND, type Around, type World } from './world.ts'

type Command = fc.AsyncCommand<Model, World>

abstract class Step implements Command {
  readonly pick: number

  constructor (pick: number) {
    this.pick = pick
  }

  check (model: Readonly<Model>): boolean {
    return model.threads.length > 0 && this.fits(model.threads[this.pick % model.threads.length]!)
  }

  /** Whether a thread can do this now. */
  protected fits (_thread: ModelThread): boolean {
    return true
  }

  async run (model: Model, world: World): Promise<void> {
    const thread = model.thread(this.pick)
    await this.perform(model, world, thread, thread.scopes.at(-1)!)
    await compare(model, world)
  }

  protected abstract perform (model: Model, world: World, thread: ModelThread, scope: ModelScope): Promise<void>

  toString (): string {
    const { pick, ...rest } = this
    return `${this.constructor.name}(${pick}${Object.values(rest).map((value) => `, ${JSON.stringify(value)}`).join('')})`
  }
}

/** Reads everything that a thread can see. This finds broken laws. */
export async function compare (model: Model, world: World): Promise<void> {
  const looks = await Promise.all(model.threads.map(async ({ name }) => await world.call(name, () => world.look()) as ReturnType<World['look']>))
  for (const [i, { name, scopes }] of model.threads.entries()) {
    const scope = scopes.at(-1)!
    const seen = looks[i]!
    if (!scope.root.ended && scope.root.requestId === undefined) {
      ok(seen.requestId !== undefined, `thread ${name} has a request id`)
      scope.root.requestId = seen.requestId
    }
    deepStrictEqual(seen, scope.look(), `what thread ${name} sees`)
  }
  deepStrictEqual([...model.waiting].filter((name) => world.threads.has(name)), [], 'work of after that has begun too early')
  await world.until(() => world.ran.length >= model.ran.length, 'all callbacks of onEnd run').catch(() => {})
  // Scopes that end together may end in any order. The callbacks of each one run last in, first out.
  deepStrictEqual(sorted(world.ran), sorted(model.ran), 'the callbacks of onEnd that ran')
}

function sorted (ran: ReadonlyArray<readonly [string, unknown]>): unknown[] {
  return ran.toSorted(([a], [b]) => a < b ? -1 : 1)
}

async function startAll (world: World, threads: readonly ModelThread[]): Promise<void> {
  for (const { name } of threads) await world.until(() => world.threads.has(name), `thread ${name} starts`)
}

class Request implements Command {
  readonly tenant: string
  readonly around: Around

  constructor (tenant: string, around: Around) {
    this.tenant = tenant
    this.around = around
  }

  check (model: Readonly<Model>): boolean { return model.threads.length < 6 }

  async run (model: Model, world: World): Promise<void> {
    const id = world.newId()
    const root = new ModelScope(undefined, { tenant: this.tenant }, { requestId: id })
    const base = this.around === 'none' ? root : this.around === 'run' ? root.run({ note: 'around' }) : root.impersonate({ user: 'around' }, 'around')
    const thread = model.begin(base, false, { id, root, base, aborted: false })
    await world.request(thread.name, id, this.tenant, this.around)
    await compare(model, world)
  }

  toString (): string { return `Request(${this.tenant}, ${this.around})` }
}

class Job implements Command {
  readonly values: Values

  constructor (values: Values) {
    this.values = values
  }

  check (model: Readonly<Model>): boolean { return model.threads.length < 6 }

  async run (model: Model, world: World): Promise<void> {
    const { name } = model.begin(new ModelScope(undefined, this.values), true)
    world.subject.run(this.values, () => world.begin(name)).catch(() => {})
    await compare(model, world)
  }

  toString (): string { return `Job(${JSON.stringify(this.values)})` }
}

class Set extends Step {
  readonly key: Key
  readonly value: string

  constructor (pick: number, key: Key, value: string) {
    super(pick)
    this.key = key
    this.value = value
  }

  protected async perform (_model: Model, world: World, { name }: ModelThread, scope: ModelScope): Promise<void> {
    const refusal = scope.root.ended ? 'FST_CTX_ENDED' : scope.refusal({ [this.key]: this.value })
    deepStrictEqual(await world.call(name, () => { world.set(this.key, this.value) }), refusal, 'the outcome of set')
    if (refusal === undefined) scope.own.set(this.key, this.value)
  }
}

class Run extends Step {
  readonly values: Values

  constructor (pick: number, values: Values) {
    super(pick)
    this.values = values
  }

  protected override fits ({ scopes }: ModelThread): boolean { return scopes.length < 4 }

  protected async perform (_model: Model, world: World, { name, scopes }: ModelThread, scope: ModelScope): Promise<void> {
    const refusal = scope.refusal(this.values)
    deepStrictEqual(await world.nest(name, (body) => world.subject.run(this.values, body)), refusal ?? 'in', 'the outcome of run')
    if (refusal === undefined) scopes.push(scope.run(this.values))
  }
}

class Impersonate extends Step {
  readonly values: Values
  readonly reason: string

  constructor (pick: number, values: Values, reason: string) {
    super(pick)
    this.values = values
    this.reason = reason
  }

  protected override fits ({ scopes }: ModelThread): boolean { return scopes.length < 4 }

  protected async perform (_model: Model, world: World, { name, scopes }: ModelThread, scope: ModelScope): Promise<void> {
    const refusal = scope.root.ended ? 'FST_CTX_ENDED' : undefined
    deepStrictEqual(await world.nest(name, (body) => world.subject.impersonate(this.values, { reason: this.reason }, body)), refusal ?? 'in', 'the outcome of impersonate')
    if (refusal === undefined) scopes.push(scope.impersonate(this.values, this.reason))
  }
}

/** Starts a branch in the same scope that nobody awaits. */
class Fork extends Step {
  protected override fits ({ scopes }: ModelThread): boolean { return scopes.length < 4 }

  protected async perform (model: Model, world: World, { name }: ModelThread, scope: ModelScope): Promise<void> {
    const branch = model.begin(scope, false)
    await world.call(name, () => { world.begin(branch.name).catch(() => {}) })
  }
}

class Detach extends Step {
  protected async perform (model: Model, world: World, { name }: ModelThread, scope: ModelScope): Promise<void> {
    const copy = scope.copy()
    const work = model.begin(copy, copy !== scope)
    await world.call(name, () => { world.subject.detach(() => world.begin(work.name)) })
    await startAll(world, [work])
  }
}

class After extends Step {
  protected async perform (model: Model, world: World, { name }: ModelThread, scope: ModelScope): Promise<void> {
    const copy = scope.copy()
    const work: ModelThread = { name: `t${model.count++}`, scopes: [copy], request: undefined, owns: copy !== scope }
    await world.call(name, () => { world.subject.after(() => world.begin(work.name)) })
    if (!scope.root.done) {
      scope.root.after.push(work)
      model.waiting.add(work.name)
    } else {
      model.threads.push(work)
      await startAll(world, [work])
    }
  }
}

class OnEnd extends Step {
  protected async perform (model: Model, world: World, { name: thread }: ModelThread, scope: ModelScope): Promise<void> {
    const name = `e${model.count++}`
    const outcome = await world.call(thread, () => { world.subject.onEnd(() => { world.ran.push([name, world.look()]) }) })
    deepStrictEqual(outcome, scope.root.ended || scope.done ? 'FST_CTX_ENDED' : undefined, 'the outcome of onEnd')
    if (outcome === undefined) scope.onEnd.push(name)
  }

  // After a disconnect a callback may still come in time, which the laws leave open.
  protected override fits ({ scopes }: ModelThread): boolean { return !scopes.at(-1)!.root.aborted }
}

/** The client of a request disconnects. */
class Abort extends Step {
  protected override fits ({ request }: ModelThread): boolean { return request !== undefined && !request.aborted }

  protected async perform (_model: Model, world: World, { request }: ModelThread): Promise<void> {
    world.abort(request!.id)
    await world.until(() => world.hooks.some(([id, hook]) => id === request!.id && hook === 'onRequestAbort'), `request ${request!.id} is aborted`)
    request!.aborted = true
    request!.root.aborted = true
  }
}

/** A thread returns from its innermost function, or throws out of it. */
class Leave extends Step {
  readonly throws: boolean

  constructor (pick: number, throws: boolean) {
    super(pick)
    this.throws = throws
  }

  protected async perform (model: Model, world: World, thread: ModelThread): Promise<void> {
    await leave(model, world, thread, this.throws)
  }
}

/** A handler returns, at any depth, while its branches and its detached work continue. */
class Reply extends Step {
  protected override fits ({ request }: ModelThread): boolean { return request !== undefined }

  protected async perform (model: Model, world: World, thread: ModelThread): Promise<void> {
    while (thread.scopes.length > 0) await leave(model, world, thread, false)
  }
}

async function leave (model: Model, world: World, thread: ModelThread, throws: boolean): Promise<void> {
  const { name, scopes, request, owns } = thread
  const error = throws ? new Error('thrown by a program') : undefined
  deepStrictEqual(await world.leave(name, error), 'left', 'the outcome of leaving')
  const scope = scopes.pop()!
  if (scopes.length === 0) model.threads.splice(model.threads.indexOf(thread), 1)
  if (request !== undefined && scopes.length === 0) await endRequest(model, world, request)
  else if (scopes.length > 0 || owns) await startAll(world, model.finish(scope))
}

async function endRequest (model: Model, world: World, { id, root, base, aborted }: ModelRequest): Promise<void> {
  await world.over(id, aborted)
  for (const [whose, hook, seen] of world.hooks.splice(0)) {
    // Code that ran at the disconnect saw the values of that time.
    if (whose === id && hook !== 'onRequestAbort') deepStrictEqual(seen, base.look(), `what ${hook} sees`)
  }
  if (base !== root) model.finish(base)
  const started = model.finish(root)
  root.ended = !aborted
  await startAll(world, started)
}

/** Ends everything that still runs. */
export async function finishAll (model: Model, world: World): Promise<void> {
  for (let thread = model.threads[0]; thread !== undefined; thread = model.threads[0]) {
    await leave(model, world, thread, false)
    await compare(model, world)
  }
}

const pick = fc.nat({ max: 1000 })
const value = fc.constantFrom('a', 'b', 'c')
const values = fc.dictionary(fc.constantFrom(...KEYS), value, { maxKeys: 2, noNullPrototype: true }) as fc.Arbitrary<Values>

/** Random programs. */
export function programs (): fc.Arbitrary<Iterable<Command>> {
  return fc.commands<Model, World>([
    fc.tuple(value, fc.constantFrom(...AROUND)).map((args) => new Request(...args)),
    values.map((given) => new Job(given)),
    fc.tuple(pick, fc.constantFrom(...KEYS), value).map((args) => new Set(...args)),
    fc.tuple(pick, values).map((args) => new Run(...args)),
    fc.tuple(pick, values, value).map((args) => new Impersonate(...args)),
    fc.tuple(pick, value).map(([n, user]) => new Impersonate(n, { user }, 'support')),
    fc.tuple(pick, fc.boolean()).map((args) => new Leave(...args)),
    pick.map((n) => new Leave(n, true)),
    pick.map((n) => new Fork(n)),
    pick.map((n) => new Reply(n)),
    pick.map((n) => new Reply(n)),
    fc.constantFrom(...AROUND).map((around) => new Request('a', around)),
    pick.map((n) => new Detach(n)),
    pick.map((n) => new After(n)),
    pick.map((n) => new OnEnd(n)),
    pick.map((n) => new Abort(n))
  ], { maxCommands: 60, size: 'max' }) as fc.Arbitrary<Iterable<Command>>
}
