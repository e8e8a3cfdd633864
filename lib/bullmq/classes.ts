import { FST_CTX_ENVELOPE_REFUSED } from '../common/errors.ts'
import { enter } from '../scope/storage.ts'
import type { JobLike, JobScopes } from './job-scopes.ts'

/** A class of any shape. */
export type Class = new (...args: any[]) => object

type AnyFunction = (this: unknown, ...args: any[]) => unknown

/** The methods that are overridden. BullMQ documents each of them. */
interface QueueMethods {
  readonly name: string
  add (...args: unknown[]): unknown
  addBulk (...args: unknown[]): unknown
}
interface FlowMethods {
  add (...args: unknown[]): unknown
  addBulk (...args: unknown[]): unknown
}
interface WorkerMethods {
  run (...args: unknown[]): unknown
  emit (...args: unknown[]): unknown
}

/** A job of `addBulk`. */
interface NewJob { readonly name: string, readonly data: unknown, readonly opts?: object }

/** A job of a flow, with its child jobs. */
interface FlowJob extends NewJob { readonly queueName: string, readonly children?: readonly FlowJob[] }

/** A `Queue` whose jobs carry the scope in which they are added. */
export function queueOf (Base: Class, jobs: JobScopes): Class {
  const Parent = Base as new (...args: any[]) => QueueMethods
  return alike(Base, class extends Parent {
    override async add (name: string, data: unknown, opts?: object): Promise<unknown> {
      return await super.add(name, data, jobs.withEnvelope(this.name, name, data, opts))
    }

    override async addBulk (list: readonly NewJob[]): Promise<unknown> {
      return await super.addBulk(list.map((job) => ({ ...job, opts: jobs.withEnvelope(this.name, job.name, job.data, job.opts) })))
    }
  })
}

/** A `FlowProducer` whose jobs carry the scope in which the flow is added. */
export function flowProducerOf (Base: Class, jobs: JobScopes): Class {
  const Parent = Base as new (...args: any[]) => FlowMethods
  const carry = (flow: FlowJob): FlowJob => ({
    ...flow,
    opts: jobs.withEnvelope(flow.queueName, flow.name, flow.data, flow.opts),
    ...flow.children !== undefined && { children: flow.children.map(carry) }
  })
  return alike(Base, class extends Parent {
    override async add (flow: FlowJob, ...rest: unknown[]): Promise<unknown> {
      return await super.add(carry(flow), ...rest)
    }

    override async addBulk (flows: readonly FlowJob[]): Promise<unknown> {
      return await super.addBulk(flows.map(carry))
    }
  })
}

/** A `Worker` that runs each job, and the listeners of its events, in the scope of that job. */
export function workerOf (Base: Class, jobs: JobScopes): Class {
  const Parent = Base as new (...args: any[]) => WorkerMethods
  /** Functions that run a listener in the scope of a job that this process has started. */
  const scopes = new WeakMap<object, ReturnType<JobScopes['snapshot']>>()

  function processorOf (processor: unknown): unknown {
    // The path of a sandboxed processor, or none: the job runs elsewhere.
    if (typeof processor !== 'function') return processor
    async function bound (this: unknown, ...args: unknown[]): Promise<unknown> {
      const [job] = args as [JobLike]
      let begun = false
      try {
        return await jobs.run(job, () => {
          begun = true
          scopes.set(job, jobs.snapshot())
          return (processor as AnyFunction).apply(this, args)
        })
      } catch (error) {
        // BullMQ recognizes the error by this name. Without it, it would retry the job, which would be refused again.
        if (!begun && error instanceof FST_CTX_ENVELOPE_REFUSED) error.name = 'UnrecoverableError'
        throw error
      }
    }
    // BullMQ passes a signal to a processor with three parameters.
    return Object.defineProperties(bound, { name: { value: processor.name }, length: { value: processor.length } })
  }

  return alike(Base, class extends Parent {
    constructor (name: string, processor: unknown, ...rest: unknown[]) {
      super(name, processorOf(processor), ...rest)
    }

    override run (...args: unknown[]): unknown {
      return enter(undefined, () => super.run(...args))
    }

    override emit (...args: unknown[]): unknown {
      const inScope = scopes.get(args[1] as object)
      return inScope === undefined ? super.emit(...args) : inScope(() => super.emit(...args))
    }
  })
}

/**
 * A class with the name of the class that it extends. Its objects are created outside every scope, because all requests share
 * their connections, timers and loops, even if one of them creates the first queue.
 */
function alike (Base: Class, Extended: Class): Class {
  return new Proxy(Object.defineProperty(Extended, 'name', { value: Base.name }), {
    construct: (target, args: unknown[], newTarget) => enter(undefined, () => Reflect.construct(target, args, newTarget) as object)
  })
}
