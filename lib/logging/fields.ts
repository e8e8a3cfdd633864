import type { Impersonation } from '../scope/scope-state.ts'
import type { Policy } from '../config/key-policies.ts'
import type { Fields, Line } from '../scope/line.ts'
import type { Registration, Scope } from '../scope/scope.ts'
import { impersonationOf, messageIdOf } from '../scope/lookup.ts'
import { traceFields, type Trace, type Tracing } from '../tracing/trace-context.ts'
import { labelsSpan, traceOf } from '../scope/active-trace.ts'
import { placeOf, warnOnce } from '../common/warnings.ts'
import { KeptField, keepField } from './field-text.ts'

/**
 * What the log lines of a scope carry now: the request id and each key with `log`. Made once, and again only when one of
 * the values is another; of an ended scope, what it was at the end.
 */
export function lineOf (scope: Scope): Line {
  if (scope.unlinked) scope.refresh()
  const { line } = scope
  if (line !== undefined && scope.ended) return line
  const trace = traceOf(scope)
  if (line !== undefined && isCurrent(line, scope, trace)) return line
  scope.line = makeLine(scope, trace)
  return scope.line
}

/** Keeps what an ending scope's lines carry, without its values, so that late lines are still correlated. */
export function keepLine (scope: Scope): void {
  if (!wanted) return
  const line = lineOf(scope)
  line.values = NO_VALUES
  const { own, fields } = line
  keepFields(own, scope)
  if (fields !== own) keepFields(Object.assign(fields, own), scope)
}

const NO_VALUES: readonly unknown[] = []

/** Most fields are strings, which stay as they are. */
function keepFields (fields: Fields, scope: Scope): void {
  for (const name in fields) {
    const field = fields[name]
    if (typeof field !== 'object' || field === null || field instanceof KeptField) continue
    fields[name] = keepField(name, field, scope.registration.log)
  }
}

let wanted = false

/** Some logger of this process writes fields: only then are they worth keeping. */
export function wantFields (): void {
  wanted = true
}

/** Sets the values that are attributes on the span of a request, or of a job that has a span of its own. */
export function attributeWriter (tracing: Tracing | undefined): Registration['onWrite'] {
  if (tracing === undefined || tracing.attributes.size === 0) return undefined
  return function writeAttribute (scope, name) {
    const attribute = tracing.attributes.get(name)
    if (attribute !== undefined && scope.trace !== undefined && labelsSpan(scope)) tracing.setAttribute(scope.trace, attribute, fieldOf(scope, name))
  }
}

/** What log lines of a scope carry of a key that has `log`. */
export function fieldOf (scope: Scope, name: string): unknown {
  const value = scope.store[name]
  const log = scope.registration.policy.logged.find((key) => key.name === name)?.log
  return value === undefined || log === undefined || log === true ? value : mapped(name, value, log)
}

function isCurrent (line: Line, scope: Scope, trace: Trace | undefined): boolean {
  if (line.trace !== trace) return false
  const { store } = scope
  const { values } = line
  const { logged } = scope.registration.policy
  // The first two, which is all that most have, at places of their own: each sees one name, and reads it cheaply.
  if (logged.length > 0 && store[logged[0]!.name] !== values[0]) return false
  if (logged.length > 1 && store[logged[1]!.name] !== values[1]) return false
  for (let i = 2; i < logged.length; i++) {
    if (store[logged[i]!.name] !== values[i]) return false
  }
  return scope.enclosing === undefined || line.enclosing === lineOf(scope.enclosing)
}

/** Fields have no prototype: an enumerable property that somebody put on `Object.prototype` is not among them. */
const bare: object = Object.freeze(Object.create(null))

function FieldsOf (): void {}
FieldsOf.prototype = bare

/** A constructor, so that the fields of all scopes share one hidden class, which `Object.create(null)` does not give. */
const NewFields = FieldsOf as unknown as new () => Fields

function makeLine (scope: Scope, trace: Trace | undefined): Line {
  const { policy, idLabel } = scope.registration
  const own = new NewFields()
  own[idLabel] = scope.store.requestId
  const messageId = messageIdOf(scope)
  if (messageId !== undefined) own.messageId ??= messageId
  if (trace !== undefined) Object.assign(own, traceFields(trace))
  const values: unknown[] = []
  for (const { name, log } of policy.logged) {
    const value = scope.store[name]
    values.push(value)
    if (value !== undefined) own[name] = log === true ? value : mapped(name, value, log)
  }
  const impersonation = impersonationOf(scope)
  if (impersonation !== undefined) Object.assign(own, actorFields(impersonation, policy))
  const enclosing = scope.enclosing === undefined ? undefined : lineOf(scope.enclosing)
  const fields = enclosing === undefined ? own : Object.assign(fieldsAround(scope), own)
  return { values, trace, own, enclosing, fields, text: undefined, bound: [] }
}

/** The fields of the other contexts around a scope: of each, its innermost scope. */
function fieldsAround (scope: Scope): Fields {
  let fields: Fields = new NewFields()
  const seen = new Set([scope.definition])
  for (let around = scope.enclosing; around !== undefined; around = around.enclosing) {
    if (!seen.has(around.definition)) fields = Object.assign(new NewFields(), lineOf(around).own, fields)
    seen.add(around.definition)
  }
  return fields
}

/** Who acts, by the keys that are impersonated and logged, and why. */
function actorFields ({ actors, reason }: Impersonation, policy: Policy): Fields {
  const actor: Fields = {}
  for (const { name, log } of policy.logged) {
    const value = actors.get(name)
    if (value !== undefined) actor[name] = log === true ? value : mapped(name, value, log)
  }
  return Object.keys(actor).length === 0 ? { reason } : { actor, reason }
}

/** A mapper that throws costs its field, and one warning; its message is not repeated: it may hold the value. */
function mapped (name: string, value: unknown, log: (value: unknown) => unknown): unknown {
  try {
    return log(value)
  } catch (error) {
    warnOnce('FST_CTX_LOG_MAPPER', name, `the log mapper of key '${name}' threw: log lines do without the field`, placeOf(error))
    return undefined
  }
}
