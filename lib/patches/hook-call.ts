import { resumeWithin, type HookSpan, type Resume } from '../lifecycle/reentry.ts'
import type { RequestLifetime } from '../lifecycle/request-lifetime.ts'
import { lastOpened } from '../scope/scope.ts'
import { currentStore, enter } from '../scope/storage.ts'
import { watchStream } from './streams.ts'

type Hook = (...args: any[]) => unknown

/**
 * One call of a hook. The end of the request waits until it calls `done`, or until its promise settles. Like Fastify, this looks at
 * the result of a hook, not at its length, because an APM's wrapper has length 0.
 */
export class HookCall implements HookSpan {
  readonly since = lastOpened()
  until = Infinity
  private open = true
  private readonly lifetime: RequestLifetime
  private readonly isBeforeHandler: boolean

  constructor (lifetime: RequestLifetime, name: string, isBeforeHandler: boolean) {
    this.lifetime = lifetime
    this.isBeforeHandler = isBeforeHandler
    lifetime.phase = name
    if (isBeforeHandler) lifetime.openHook()
    else lifetime.hold()
  }

  /** The hook called `done`, failed, or returned a promise, which is awaited instead. */
  settle (): void {
    if (!this.open) return
    this.open = false
    if (this.isBeforeHandler) this.lifetime.closeHook()
    else this.lifetime.release()
  }

  /** Returns to Fastify what the hook returned, or a wrapper of it. */
  returned (result: unknown, sends = false, resume: Resume = resumeWithin): unknown {
    // A handler may be working that opens scopes, too.
    if (!this.isBeforeHandler) this.until = lastOpened()
    if (!isThenable(result)) return result
    const settling = new Settling(this.lifetime, result, sends, resume)
    this.settle()
    return settling
  }

  failed (error: unknown): unknown {
    this.settle()
    return error
  }
}

/**
 * A thenable returned by a hook or handler, as Fastify sees it. The end of the request waits until it has settled, and Fastify
 * continues in the scope, whichever code settles it. It calls the thenable itself, so it adds no promise.
 */
export class Settling {
  private readonly lifetime: RequestLifetime
  private readonly result: PromiseLike<unknown>
  /** Whether it may resolve to a stream to send. */
  private readonly sends: boolean
  private readonly resume: Resume

  constructor (lifetime: RequestLifetime, result: PromiseLike<unknown>, sends = false, resume: Resume = resumeWithin) {
    this.lifetime = lifetime
    this.result = result
    this.sends = sends
    this.resume = resume
    lifetime.hold()
  }

  then (resolve: Hook, reject: Hook): any {
    const { lifetime, result, resume } = this
    // A promise calls back in the store in which its `then` is called. Other thenables may call back in a scope of other work.
    const isPromise = result instanceof Promise
    const store = isPromise ? undefined : currentStore()
    // A thenable that calls back twice settles once.
    let open = true
    const settle = (callback: Hook, value: unknown): unknown => {
      if (open) lifetime.release()
      open = false
      return isPromise || currentStore() === store ? resume(lifetime, callback, value) : enter(lifetime.current, callback, value)
    }
    return result.then((value) => {
      if (this.sends) watchStream(value, lifetime)
      return settle(resolve, value)
    }, (error: unknown) => settle(reject, error))
  }
}

/** The check that Fastify makes. */
export function isThenable (result: unknown): result is PromiseLike<unknown> {
  return result !== undefined && result !== null && typeof (result as PromiseLike<unknown>).then === 'function'
}
