// Two imports: with one, the compiler emits `create.FastifyErrorConstructor`, which `moduleResolution: bundler` does not resolve.
import type { FastifyErrorConstructor } from '@fastify/error'
import create from '@fastify/error'

/** The properties of this package's errors in addition to the message. */
export interface Coded<C extends string, S extends number> {
  /** Identifies the error. It is stable, unlike the message. */
  code: C
  /** The status of the response if the error reaches Fastify. */
  statusCode: S
}

type CreateError = <C extends string, S extends number = 500> (code: C, message: string, statusCode?: S, Base?: ErrorConstructor) => FastifyErrorConstructor<Coded<C, S>>

const createError: CreateError = create

/** `key('…')` was called with a name that cannot be a key: reserved, empty, or a method of `request.ctx`. */
export const FST_CTX_INVALID_KEY = createError('FST_CTX_INVALID_KEY', "'%s' cannot be the name of a key, because %s: choose another", 500, TypeError)

/** An undeclared key of this context was written or required. */
export const FST_CTX_UNKNOWN_KEY = createError('FST_CTX_UNKNOWN_KEY', "this context has no key '%s': correct the name, or declare it in createContext()", 500, TypeError)

/** An option, or the policy of a key, is unknown or has the wrong type. */
export const FST_CTX_INVALID_OPTION = createError('FST_CTX_INVALID_OPTION', "option '%s' %s", 500, TypeError)

/** An argument of a call is invalid. */
export const FST_CTX_INVALID_ARGUMENT = createError('FST_CTX_INVALID_ARGUMENT', '%s takes %s', 500, TypeError)

/** The same context was registered again in the same place with other options. */
export const FST_CTX_ALREADY_REGISTERED = createError('FST_CTX_ALREADY_REGISTERED', "this context is already registered here with another '%s' (a new function counts as different): register it once, or make a second context with createContext()")

/** `ctx.configure` was called a second time, or after the context was registered or used. */
export const FST_CTX_ALREADY_CONFIGURED = createError('FST_CTX_ALREADY_CONFIGURED', 'ctx.configure() was refused, because %s: call it once, before the context is registered and before it opens a scope')

/** An option that `createContext` announced as `'late'` was needed before it was given. */
export const FST_CTX_NOT_CONFIGURED = createError('FST_CTX_NOT_CONFIGURED', "option '%s' is 'late' and has not been given yet: give it to app.register(ctx.plugin, options) or to ctx.configure(options) before the context is used")

/** Another plugin has decorated requests with `ctx`. */
export const FST_CTX_DECORATED = createError('FST_CTX_DECORATED', "another plugin has decorated requests with 'ctx', which fastify-ctx needs: rename that decorator, or register fastify-ctx in a part of the application without it")

/** `@fastify/request-context` was registered in the same application. */
export const FST_CTX_REQUEST_CONTEXT_REGISTERED = createError('FST_CTX_REQUEST_CONTEXT_REGISTERED', '@fastify/request-context, or another copy of fastify-ctx, is also registered: remove its registration, requestContext.get() and .set() keep working')

/** Fastify's own `requestIdHeader` option would accept any header as an id before it could be checked. */
export const FST_CTX_REQUEST_ID_HEADER = createError('FST_CTX_REQUEST_ID_HEADER', "Fastify's option 'requestIdHeader' accepts the header '%s' unchecked: remove it, and register fastify-ctx with { requestId: { header: '%s' } }")

/** A value was required or written outside any scope. */
export const FST_CTX_NO_SCOPE = createError('FST_CTX_NO_SCOPE', "'%s' was used where no scope of this context is open: use it in a request, in hooks registered after fastify-ctx, or in ctx.run(values, fn), or bind the function with ctx.bind(fn)")

/** A value was required or written after its scope had ended. */
export const FST_CTX_ENDED = createError('FST_CTX_ENDED', "'%s' was used after its scope had ended: use it before, await the work that needs it, or start that work with ctx.detach()")

/** A required value was never set in this scope. */
export const FST_CTX_NOT_SET = createError('FST_CTX_NOT_SET', "'%s' is not set in this scope: give the key a seed, or set it before it is required (ctx.explain(key) says why)")

/** The request id of a scope is fixed when the scope opens. */
export const FST_CTX_REQUEST_ID_FIXED = createError('FST_CTX_REQUEST_ID_FIXED', "'requestId' is fixed when its scope opens: leave it out, or open a new root with ctx.run({ requestId }, fn, { inherit: false }). A message of a connection gets an id of its own with ctx.run(values, fn, { messageId })")

/** `ctx.impersonate(values, { reason, rest: true })` was called in a place where it cannot apply to the rest of the request. */
export const FST_CTX_REST_REFUSED = createError('FST_CTX_REST_REFUSED', 'an impersonation cannot hold for the rest of the request, because %s: call it in a hook before the handler and outside of ctx.run, or give ctx.impersonate() a function')

/** A seed threw or rejected with a falsy value (`undefined`, `null`, `false`…), which Fastify would treat as success. */
export const FST_CTX_SEED_FAILED = createError('FST_CTX_SEED_FAILED', "the seed of key '%s' threw or rejected without an error: throw an Error, optionally with a statusCode for the response")

/** A value does not match the schema of its key. Its status code is 400 if a seed returned the value. `issues` says what is wrong. */
export const FST_CTX_INVALID_VALUE = createError('FST_CTX_INVALID_VALUE', "the value of '%s' does not match its schema: error.issues says why")

/** A schema validates asynchronously in a call that cannot wait for it. */
export const FST_CTX_ASYNC_SCHEMA = createError('FST_CTX_ASYNC_SCHEMA', "the schema of '%s' validates asynchronously, and only a seed or ctx.hydrate() can wait for that: use a schema without async checks")

/** A locked key was written again in a scope that has it. */
export const FST_CTX_LOCKED = createError('FST_CTX_LOCKED', "'%s' is locked and already set: set it once, or act as somebody else with ctx.impersonate()")

/** The option `onImpersonate` refused an impersonation. What it threw is the `cause`. */
export const FST_CTX_IMPERSONATION_REFUSED = createError('FST_CTX_IMPERSONATION_REFUSED', 'onImpersonate refused this impersonation: %s. It allows one by returning nothing, or true', 403)

/** A route requires a key that the request does not have. Its status code is the key's `missing`. */
export const FST_CTX_MISSING = createError('FST_CTX_MISSING', "'%s' is required", 400)

/** The reason of a signal: the client disconnected before it had the response. Its name is `AbortError`. */
export const FST_CTX_CLIENT_GONE = createError('FST_CTX_CLIENT_GONE', 'the client is gone', 499)

/** The reason of a signal: the time limit of a scope has passed. Its name is `TimeoutError`. */
export const FST_CTX_DEADLINE = createError('FST_CTX_DEADLINE', 'the deadline of this scope has passed', 504)

/** JSON cannot represent a value that must be carried, or its `pack` threw, which is the `cause`. */
export const FST_CTX_NOT_CARRIABLE = createError('FST_CTX_NOT_CARRIABLE', "'%s' cannot be carried: %s. Give the key carry: { pack, unpack }, where pack returns a JSON value")

/** An envelope has more bytes than `envelope.maxBytes`. */
export const FST_CTX_ENVELOPE_TOO_LARGE = createError('FST_CTX_ENVELOPE_TOO_LARGE', 'the envelope has %s bytes (limit %s). Largest keys: %s. Carry an id instead, with pack and unpack, or raise envelope.maxBytes on both sides')

/** Envelopes are signed, and this one is forged, altered, too old, or not signed. */
export const FST_CTX_ENVELOPE_REFUSED = createError('FST_CTX_ENVELOPE_REFUSED', 'the envelope was refused, because %s: pass on the string from ctx.dehydrate() unchanged, with the same envelope.secrets on both sides, and a ttl longer than the delay', 400)

/** The `unpack` of a key threw or rejected, which is the `cause`. The work does not start. */
export const FST_CTX_UNPACK_FAILED = createError('FST_CTX_UNPACK_FAILED', "unpack() of key '%s' failed, so the work was not started: fix its cause and try again, or return undefined from unpack")

/** `fastify-ctx/inspect` was registered without protection. */
export const FST_CTX_INSPECT_UNGUARDED = createError('FST_CTX_INSPECT_UNGUARDED', "inspect would show the requests in flight to everybody at '%s': give it a preHandler that refuses strangers, or unsafe: true if something else does")

/** `fastify-ctx/inspect` was registered in a place without a context. */
export const FST_CTX_INSPECT_NO_CONTEXT = createError('FST_CTX_INSPECT_NO_CONTEXT', 'no context is registered here, so inspect has nothing to show: register fastify-ctx before it, in the same instance or in a parent')
