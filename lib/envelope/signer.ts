import type { ContextDefinition } from '../lifecycle/context-definition.ts'
import { strictestOf } from '../lifecycle/strictest.ts'
import type { Registration } from '../scope/scope.ts'
import { readSignature } from './signature.ts'

/**
 * The policy for reading an envelope. If several applications share a context, the signature identifies the application of the
 * work, and its policy applies. An unsigned envelope is read with what all of them allow, and refused if any of them requires a signature.
 */
export function registrationFor (envelope: unknown, definition: ContextDefinition, purpose: string | undefined): Registration {
  const outside = definition.openOutside()
  if (definition.registrations.length < 2 || typeof envelope !== 'string') return outside
  const signers = definition.registrations.filter(({ settings: { envelope: { secrets, maxBytes } } }) => envelope.length <= maxBytes && readSignature(envelope, secrets, purpose).valid)
  return signers.length === 0 ? outside : strictestOf(signers)
}
