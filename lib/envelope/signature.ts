import { createHmac, timingSafeEqual } from 'node:crypto'

/** A prefix of the signed text, because the same secret may sign other things elsewhere. */
const PURPOSE = 'fastify-ctx envelope 1\n'

/** The text before the signature, which is the last member of the object. */
const MEMBER = ',"signature":"'

/** The length of the signature: 32 bytes in base64url. */
const LENGTH = 43

/**
 * Adds an HMAC-SHA-256 to the JSON text of an object with other members.
 *
 * @param purpose what the text is for; it is signed as well, but not written
 */
export function sign (text: string, secret: string, purpose?: string): string {
  return `${text.slice(0, -1)}${MEMBER}${signature(text, secret, purpose)}"}`
}

/** Returns a text without its signature, and whether one of the secrets created that signature for this purpose. */
export function readSignature (text: string, secrets: readonly string[], purpose?: string): { readonly text: string, readonly valid: boolean } {
  // Its length is known, so no regular expression is needed.
  const end = text.slice(-(MEMBER.length + LENGTH + 2))
  const given = end.slice(MEMBER.length, -2)
  if (!end.startsWith(MEMBER) || !end.endsWith('"}') || !/^[\w-]+$/.test(given)) return { text, valid: false }
  const signed = `${text.slice(0, -end.length)}}`
  // Compared as texts, because several texts decode to the same bytes. Each comparison takes constant time, so timing reveals nothing about a forgery.
  const claimed = Buffer.from(given)
  const valid = secrets.filter((secret) => timingSafeEqual(Buffer.from(signature(signed, secret, purpose)), claimed)).length > 0
  return { text: signed, valid }
}

/** A purpose is one line of JSON that begins with a quote. The text begins with a brace, so the two cannot be confused. */
function signature (text: string, secret: string, purpose: string | undefined): string {
  return createHmac('sha256', secret).update(PURPOSE).update(purpose === undefined ? '' : `${JSON.stringify(purpose)}\n`).update(text).digest('base64url')
}
