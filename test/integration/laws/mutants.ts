// Broken implementations, each with one common mistake. The programs must find every one, or they prove nothing.
import type { Key, Values } from './model.ts'
import type { Mutate } from './world.ts'

/** The arguments of the calls, with looser types. */
interface Loose {
  set (key: Key, value: string): void
  run<R> (values: Values, fn: () => R): R
  impersonate<R> (values: Values, options: { readonly reason: string }, fn: () => R): R
}

const loose = (ctx: Parameters<Mutate>[0]): Loose => ctx as unknown as Loose

export const MUTANTS: Readonly<Record<string, Mutate>> = {
  'one variable for all requests': (ctx) => {
    let last: unknown
    return {
      set (key, value) { ctx.set(key, value); if (key === 'note') last = value },
      get: ((key: Key) => key === 'note' && ctx.has('requestId') ? last : ctx.get(key)) as typeof ctx.get
    }
  },
  'a run without a scope of its own': (ctx) => ({
    run: ((values: Values, fn: () => unknown) => {
      for (const [key, value] of Object.entries(values)) loose(ctx).set(key as Key, value)
      return fn()
    }) as typeof ctx.run
  }),
  'a run whose values stay when it has returned': (ctx) => ({
    run: ((values: Values, fn: () => unknown) => {
      const result = loose(ctx).run(values, fn)
      return result instanceof Promise && values.note !== undefined ? result.finally(() => { if (ctx.has('requestId')) ctx.set('note', values.note) }) : result
    }) as typeof ctx.run
  }),
  'an impersonation that stays when its function has thrown': (ctx) => ({
    impersonate: ((values: Values, options: { readonly reason: string }, fn: () => unknown) => {
      const result = loose(ctx).impersonate(values, options, fn)
      return result instanceof Promise ? result.catch((error: unknown) => { if (values.user !== undefined) ctx.set('user', values.user); throw error }) : result
    }) as typeof ctx.impersonate
  }),
  'an actor that is the user in between': (ctx) => ({
    impersonate: ((values: Values, options: { readonly reason: string }, fn: () => unknown) => {
      const between = ctx.get('user')
      return loose(ctx).impersonate(values, options, () => { Object.assign(ctx.cache, { between }); return fn() })
    }) as typeof ctx.impersonate,
    actor: ((key: Key) => key === 'user' && ctx.has('requestId') && 'between' in ctx.cache ? ctx.cache.between : ctx.actor(key)) as typeof ctx.actor
  }),
  'detached work in the scope of its request': (ctx) => ({ detach (fn) { Promise.resolve(fn()).catch(() => {}) }, after: ctx.after.bind(ctx) }),
  'detached work that keeps the connection': (ctx) => ({
    detach (fn) {
      const connection = ctx.get('connection')
      ctx.detach(() => connection === undefined ? fn() : ctx.run({ connection }, fn))
    }
  }),
  'after that starts at once': (ctx) => ({ after: ctx.detach.bind(ctx) }),
  'values that are gone when the client is': (ctx) => ({ get: ((key: Key) => ctx.signal.aborted ? undefined : ctx.get(key)) as typeof ctx.get }),
  'a signal that nobody aborts': () => ({ signal: new AbortController().signal }),
  'a callback that runs twice': (ctx) => ({ onEnd (fn) { ctx.onEnd(fn); ctx.onEnd(fn) } }),
  'a callback that runs outside of its scope': (ctx) => ({ onEnd (fn) { ctx.onEnd(() => ctx.exit(fn)) } })
}
