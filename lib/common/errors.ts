// Two imports: of one, the compiler publishes `create.FastifyErrorConstructor`, which `moduleResolution: bundler` does not find.
import type { FastifyErrorConstructor } from '@fastify/error'
import create from '@fastify/error'

/** What an error of this package has beside its message. */
export interface Coded<C extends string, S extends number> {
  /** Says which error it is: stable, unlike the message. */
  code: C
  /** The status of the answer, if it reaches Fastify. */
  statusCode: S
}

type CreateError = <C extends string, S extends number = 500> (code: C, message: string, statusCode?: S, Base?: ErrorConstructor) => FastifyErrorConstructor<Coded<C, S>>

const createError: CreateError = create

/** `key('…')` was given a name that cannot be a key: reserved, empty, or one of the methods of `request.ctx`. */
export const FST_CTX_INVALID_KEY = createError('FST_CTX_INVALID_KEY', "'%s' cannot be the name of a key, as %s: choose another", 500, TypeError)

/** A key that this context does not have was written, or required. */
export const FST_CTX_UNKNOWN_KEY = createError('FST_CTX_UNKNOWN_KEY', "this context has no key '%s': correct the name, or declare it in createContext()", 500, TypeError)

/** An option, or the policy of a key, is of the wrong type or unknown. */
export const FST_CTX_INVALID_OPTION = createError('FST_CTX_INVALID_OPTION', "option '%s' %s", 500, TypeError)

/** An argument of a call is not what the call takes. */
export const FST_CTX_INVALID_ARGUMENT = createError('FST_CTX_INVALID_ARGUMENT', '%s takes %s', 500, TypeError)

/** The same context was registered again where it already is, with other options. */
export const FST_CTX_ALREADY_REGISTERED = createError('FST_CTX_ALREADY_REGISTERED', "this context is already registered here with another '%s' (a function written anew is another): register it once, or make a second context with createContext()")

/** `ctx.configure` was called a second time, or after the context was registered or used. */
export const FST_CTX_ALREADY_CONFIGURED = createError('FST_CTX_ALREADY_CONFIGURED', 'ctx.configure() was refused, because %s: call it once, before the context is registered and before a scope of it opens')

/** An option that `createContext` announced as `'late'` was needed before it was given. */
export const FST_CTX_NOT_CONFIGURED = createError('FST_CTX_NOT_CONFIGURED', "option '%s' is 'late' and has not been given yet: give it to app.register(ctx.plugin, options) or to ctx.configure(options) before the context is used")

/** Another plugin has decorated requests with `ctx`. */
export const FST_CTX_DECORATED = createError('FST_CTX_DECORATED', "requests have a decorator 'ctx' of another plugin, which fastify-ctx needs: rename that one, or register fastify-ctx in a part of the application that does not have it")

/** `@fastify/request-context` was registered in the same application. */
export const FST_CTX_REQUEST_CONTEXT_REGISTERED = createError('FST_CTX_REQUEST_CONTEXT_REGISTERED', '@fastify/request-context, or another copy of fastify-ctx, is registered beside fastify-ctx: remove its registration, requestContext.get() and .set() keep working')

/** Fastify's own `requestIdHeader` option would accept any header as an id, before it could be checked. */
export const FST_CTX_REQUEST_ID_HEADER = createError('FST_CTX_REQUEST_ID_HEADER', "Fastify's option 'requestIdHeader' takes the header '%s' unchecked: remove it, and register fastify-ctx with { requestId: { header: '%s' } }")

/** A value was needed or written where no scope is open. */
export const FST_CTX_NO_SCOPE = createError('FST_CTX_NO_SCOPE', "'%s' was used where no scope of this context is open: use it in a request, in hooks registered after fastify-ctx, or in ctx.run(values, fn), or take the scope along by ctx.bind(fn)")

/** A value was needed or written after its scope had ended. */
export const FST_CTX_ENDED = createError('FST_CTX_ENDED', "'%s' was used after its scope had ended: use it before, await the work that needs it, or start that work by ctx.detach()")

/** A required value was never set in this scope. */
export const FST_CTX_NOT_SET = createError('FST_CTX_NOT_SET', "'%s' is not set in this scope: give the key a seed, or set it before it is required (ctx.explain(key) tells why it is not)")

/** The request id of a scope is fixed when the scope opens. */
export const FST_CTX_REQUEST_ID_FIXED = createError('FST_CTX_REQUEST_ID_FIXED', "'requestId' is fixed when its scope opens: leave it out, or start a scope of its own by ctx.run({ requestId }, fn, { inherit: false })")

/** A seed threw or rejected with nothing (`undefined`, `null`, `false`…), which Fastify would take for success. */
export const FST_CTX_SEED_FAILED = createError('FST_CTX_SEED_FAILED', "the seed of key '%s' threw or rejected without an error: throw an Error, with a statusCode for the answer if you like")

/** A value does not match the schema of its key. Its status code is 400 where a seed gave the value. `issues` says what is wrong. */
export const FST_CTX_INVALID_VALUE = createError('FST_CTX_INVALID_VALUE', "the value of '%s' does not match its schema: error.issues says why")

/** A schema validates asynchronously, in a call that cannot wait for it. */
export const FST_CTX_ASYNC_SCHEMA = createError('FST_CTX_ASYNC_SCHEMA', "the schema of '%s' validates asynchronously, and only a seed or ctx.hydrate() can wait for that: use a schema without async checks")

/** A locked key was written again in a scope that has it. */
export const FST_CTX_LOCKED = createError('FST_CTX_LOCKED', "'%s' is locked, and set already: set it once, or act as somebody else by ctx.impersonate()")

/** A route requires a key that the request does not have. Its status code is the key's `missing`. */
export const FST_CTX_MISSING = createError('FST_CTX_MISSING', "'%s' is required", 400)

/** The reason of a signal: the client went away before it had the answer. Its name is `AbortError`. */
export const FST_CTX_CLIENT_GONE = createError('FST_CTX_CLIENT_GONE', 'the client is gone', 499)

/** The reason of a signal: the time that a scope was given is over. Its name is `TimeoutError`. */
export const FST_CTX_DEADLINE = createError('FST_CTX_DEADLINE', 'the deadline of this scope has passed', 504)

/** A value that is to be carried is none that JSON can hold, or its `pack` threw: that is the `cause`. */
export const FST_CTX_NOT_CARRIABLE = createError('FST_CTX_NOT_CARRIABLE', "'%s' cannot be carried: %s. Give the key carry: { pack, unpack }, of which pack makes a JSON value of each value")

/** An envelope has more bytes than `envelope.maxBytes`. */
export const FST_CTX_ENVELOPE_TOO_LARGE = createError('FST_CTX_ENVELOPE_TOO_LARGE', 'the envelope has %s bytes, more than %s: the fattest keys are %s. Carry an id instead, by pack and unpack, or raise envelope.maxBytes on both sides')

/** Where envelopes are signed: this one is forged, altered, too old, or not signed at all. */
export const FST_CTX_ENVELOPE_REFUSED = createError('FST_CTX_ENVELOPE_REFUSED', 'the envelope was refused, as %s: hand on what ctx.dehydrate() made as it is, with the same envelope.secrets on both sides, and a ttl longer than its way', 400)

/** The `unpack` of a key threw or rejected: that is the `cause`. The work does not begin. */
export const FST_CTX_UNPACK_FAILED = createError('FST_CTX_UNPACK_FAILED', "the unpack of key '%s' threw or rejected, and the work was not begun: mend what its cause tells and try again, or return undefined from unpack")

/** `fastify-ctx/inspect` was registered without anything that keeps strangers out. */
export const FST_CTX_INSPECT_UNGUARDED = createError('FST_CTX_INSPECT_UNGUARDED', "inspect would show the requests in flight to everybody at '%s': give it a preHandler that refuses strangers, or unsafe: true where something else does")

/** `fastify-ctx/inspect` was registered where no context is. */
export const FST_CTX_INSPECT_NO_CONTEXT = createError('FST_CTX_INSPECT_NO_CONTEXT', 'no context is registered here, so inspect has nothing to show: register fastify-ctx before it, in the same application or around it')
