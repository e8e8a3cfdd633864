import { createHash } from 'node:crypto'
import type { ContextApi } from '../api/context-api.ts'
import { FST_CTX_ENVELOPE_REFUSED, FST_CTX_INVALID_ARGUMENT, FST_CTX_INVALID_OPTION } from '../common/errors.ts'
import { ownOptions } from '../common/own-options.ts'
import { kDefinition } from '../common/symbols.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import { scopeOf } from '../scope/lookup.ts'
import { currentScope } from '../scope/storage.ts'

/** How the scopes of jobs are carried. The producer and the consumer need the same `signData`. */
export interface BullMQOptions {
  /**
   * What happens to a job without a scope, which another producer or a job scheduler added. `'run'`: it runs in a scope
   * without values. `'refuse'`: it fails. Default: `'refuse'` if there are `envelope.secrets`, else `'run'`.
   */
  readonly missing?: 'run' | 'refuse'
  /**
   * Whether a signature is valid only for the original data of the job. Set `false` if a processor calls `job.updateData`, because the next
   * attempt has other data. Default `true`.
   */
  readonly signData?: boolean
}

/** The properties of a job that are read: a `Job`, or the job that a sandboxed processor gets. */
export interface JobLike {
  /** The name of its queue. */
  readonly queueName: string
  /** Its name. */
  readonly name: string
  /** Its data. */
  readonly data: unknown
  /** Its options, which contain the envelope. */
  readonly opts: object
}

/** The job option with the envelope. BullMQ stores unknown options. */
const OPTION = 'fastify-ctx'

/** Writes scopes to jobs and restores them. */
export class JobScopes {
  readonly #ctx: ContextApi<any>
  readonly #definition: ContextDefinition
  readonly #missing: BullMQOptions['missing']
  readonly #signData: boolean

  constructor (ctx: ContextApi<any>, options: BullMQOptions) {
    const { missing, signData = true, ...rest } = ownOptions(options)
    const [other] = Object.keys(rest)
    if (other !== undefined) throw new FST_CTX_INVALID_OPTION(other, 'does not exist: bindBullMQ() takes missing and signData')
    if (missing !== undefined && missing !== 'run' && missing !== 'refuse') throw new FST_CTX_INVALID_OPTION('missing', "takes 'run' or 'refuse'")
    if (typeof signData !== 'boolean') throw new FST_CTX_INVALID_OPTION('signData', 'takes a boolean')
    this.#ctx = ctx
    const definition = (ctx as { readonly [kDefinition]?: ContextDefinition } | undefined)?.[kDefinition]
    if (definition === undefined) throw new FST_CTX_INVALID_ARGUMENT('bindBullMQ', 'a context first, such as createContext() returns')
    this.#definition = definition
    this.#missing = missing
    this.#signData = signData
  }

  /**
   * Returns the options of a new job, with an envelope of the current scope. Outside a scope the envelope has no values,
   * so a missing envelope always means that other code added the job.
   */
  withEnvelope (queueName: string, name: string, data: unknown, opts: object | undefined): object {
    const scope = scopeOf(this.#definition, currentScope())
    const { secrets } = (scope?.registration ?? this.#definition.registration).settings.envelope
    const options = { remaining: false, ...this.#purpose(secrets, { queueName, name, data }) }
    const dehydrate = (): string => this.#ctx.dehydrate(options)
    return { ...opts, [OPTION]: scope === undefined ? this.#ctx.run({}, dehydrate) : dehydrate() }
  }

  /** Calls `fn` in the scope of a job. */
  async run<R> (job: JobLike, fn: () => R): Promise<Awaited<R>> {
    const { secrets, isLate } = this.#definition.registration.settings.envelope
    const envelope = (job.opts as Readonly<Record<string, unknown>>)[OPTION]
    // Secrets that are still to come refuse everything: ctx.hydrate says so.
    if (envelope === undefined && isLate !== true) {
      if ((this.#missing ?? (secrets.length > 0 ? 'refuse' : 'run')) === 'refuse') throw new FST_CTX_ENVELOPE_REFUSED('the job has none')
      return await this.#ctx.run({}, fn, { inherit: false })
    }
    return await this.#ctx.hydrate(envelope, fn, this.#purpose(secrets, job))
  }

  /** Returns a function that calls another one in the current scope. */
  snapshot (): ReturnType<ContextApi<any>['snapshot']> {
    return this.#ctx.snapshot()
  }

  /** The purpose of an envelope. Without a signature nothing is bound to a job. */
  #purpose (secrets: readonly string[], { queueName, name, data }: Omit<JobLike, 'opts'>): { readonly for?: string } {
    if (secrets.length === 0) return {}
    return { for: JSON.stringify(this.#signData ? [queueName, name, digestOf(data)] : [queueName, name]) }
  }
}

/** A digest of the data of a job that stays the same when the data is stored. PostgreSQL does not keep the order of keys. */
function digestOf (data: unknown): string {
  const text = JSON.stringify(data === undefined ? {} : data, (_name, value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1))
  })
  return createHash('sha256').update(text).digest('base64url')
}
