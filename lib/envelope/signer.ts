import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import { strictestOf } from '../lifecycle/strictest.ts'
import type { Registration } from '../scope/scope.ts'
import { readSignature } from './signature.ts'

/**
 * What an envelope is read by. Where several applications share a context, a signature says which of them the work
 * belongs to, and its policy holds. Without one it is what all of them allow, and a signature is required if any of them requires it.
 */
export function registrationFor (envelope: unknown, definition: ContextDefinition, purpose: string | undefined): Registration {
  const outside = definition.openOutside()
  if (definition.registrations.length < 2 || typeof envelope !== 'string') return outside
  const signers = definition.registrations.filter(({ settings: { envelope: { secrets, maxBytes } } }) => envelope.length <= maxBytes && readSignature(envelope, secrets, purpose).valid)
  return signers.length === 0 ? outside : strictestOf(signers)
}
