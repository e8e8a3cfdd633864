import { resumeWithin } from '../lifecycle/reentry.ts'
import type { RequestLifetime } from '../lifecycle/request-lifetime.ts'
import { watchStream } from './streams.ts'

type Hook = (...args: any[]) => unknown

/**
 * One call of a hook, for which the end waits until it calls `done`, or until its promise settles. Fastify goes by what
 * a hook returns, not by its length, and so do we: an APM's wrapper has length 0.
 */
export class HookCall {
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

  /** The hook called `done`, failed, or returned a promise, which is waited for instead. */
  settle (): void {
    if (!this.open) return
    this.open = false
    if (this.isBeforeHandler) this.lifetime.closeHook()
    else this.lifetime.release()
  }

  /** What Fastify gets for what the hook returned. */
  returned (result: unknown, sends = false): unknown {
    if (!isThenable(result)) return result
    const settling = new Settling(this.lifetime, result, sends)
    this.settle()
    return settling
  }

  failed (error: unknown): unknown {
    this.settle()
    return error
  }
}

/**
 * What a hook or handler returned, as Fastify sees it: the end of the request waits until it has settled, and Fastify goes
 * on in the scope, whatever code settles it. It hands on to the thenable itself, so there is no promise more.
 */
export class Settling {
  private readonly lifetime: RequestLifetime
  private readonly result: PromiseLike<unknown>
  /** Whether what it resolves to may be a stream to send. */
  private readonly sends: boolean

  constructor (lifetime: RequestLifetime, result: PromiseLike<unknown>, sends = false) {
    this.lifetime = lifetime
    this.result = result
    this.sends = sends
    lifetime.hold()
  }

  then (resolve: Hook, reject: Hook): any {
    const { lifetime } = this
    // A thenable that calls back twice has settled once.
    let open = true
    const settle = (callback: Hook, value: unknown): unknown => {
      if (open) lifetime.release()
      open = false
      return resumeWithin(lifetime, callback, value)
    }
    return this.result.then((value) => {
      if (this.sends) watchStream(value, lifetime)
      return settle(resolve, value)
    }, (error: unknown) => settle(reject, error))
  }
}

/** As Fastify asks. */
export function isThenable (result: unknown): result is PromiseLike<unknown> {
  return result !== undefined && result !== null && typeof (result as PromiseLike<unknown>).then === 'function'
}
