import { keepField, KeptField } from '../logging/field-text.ts'
import { lineOf } from '../logging/fields.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import type { Fields } from '../scope/line.ts'
import type { Scope, Store } from '../scope/scope.ts'
import { enter } from '../scope/storage.ts'
import { scopeIn } from './values.ts'

/** The fields of a log line in the current scope: `ctx.fields`. */
export function fieldsIn (definition: ContextDefinition, store: Store | undefined): Fields {
  const scope = scopeIn(definition, store)
  return scope === undefined ? {} : writtenFields(scope, 'fields')
}

/**
 * The fields that the application's logger writes on a line in a scope, with its serializers and its redaction applied.
 *
 * @param which `own`: the fields of this context. `fields`: also those of other contexts around it
 */
export function writtenFields (scope: Scope, which: 'own' | 'fields'): Fields {
  const { log } = scope.registration
  const written: Fields = {}
  // A mapper may read other values of its scope.
  const fields = enter(scope.store, lineOf, scope)[which]
  for (const name in fields) {
    const field = fields[name]
    const kept = field instanceof KeptField ? field : keepField(name, field, log)
    if (kept !== undefined) written[name] = kept.value
  }
  return written
}
