import { errorOf, mixedIn } from '../logging/mixin.ts'
import { silentLogger } from '../logging/silent-logger.ts'
import { wantFields } from '../logging/fields.ts'
import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import { scopeOfFailure } from '../scope/failures.ts'
import type { Logger } from '../scope/line.ts'
import { scopeOf } from '../scope/lookup.ts'
import { scopeOfStore, type Store } from '../scope/scope.ts'
import { scopeIn } from './values.ts'

/** The logger of the current request, that of the application, or one that writes nothing. */
export function loggerIn (definition: ContextDefinition, store: Store | undefined): Logger {
  return scopeIn(definition, store)?.root.log ?? definition.registration.log ?? silentLogger
}

/** A mixin for pino, which adds the fields of the scope that a line is written in. */
export function mixinOf (definition: ContextDefinition, currentStore: () => Store | undefined): (object?: object, level?: number, logger?: object) => Record<string, unknown> {
  wantFields()
  return (object, _level, logger) => mixedIn(scopeOf(definition, scopeOfFailure(errorOf(object), scopeOfStore(currentStore()))), object, logger)
}
