import { createHmac, timingSafeEqual } from 'node:crypto'

/** What is signed is said with it: the same secret may sign other things elsewhere. */
const PURPOSE = 'fastify-ctx envelope 1\n'

/** What a signed text has in front of its signature, which is the last member of its object. */
const MEMBER = ',"signature":"'

/** How many characters the signature has: 32 bytes in base64url. */
const LENGTH = 43

/**
 * Adds its HMAC-SHA-256 to the JSON text of an object that has other members.
 *
 * @param purpose what the text is for: it is signed as well, and not written
 */
export function sign (text: string, secret: string, purpose?: string): string {
  return `${text.slice(0, -1)}${MEMBER}${signature(text, secret, purpose)}"}`
}

/** A text without its signature, and whether one of the secrets made that for this purpose. */
export function readSignature (text: string, secrets: readonly string[], purpose?: string): { readonly text: string, readonly valid: boolean } {
  // Its length is known: no expression looks for it.
  const end = text.slice(-(MEMBER.length + LENGTH + 2))
  const given = end.slice(MEMBER.length, -2)
  if (!end.startsWith(MEMBER) || !end.endsWith('"}') || !/^[\w-]+$/.test(given)) return { text, valid: false }
  const signed = `${text.slice(0, -end.length)}}`
  // As texts: several of them decode to the same bytes. Each is compared, in constant time: nobody learns from the time how
  // near a forgery was.
  const claimed = Buffer.from(given)
  const valid = secrets.filter((secret) => timingSafeEqual(Buffer.from(signature(signed, secret, purpose)), claimed)).length > 0
  return { text: signed, valid }
}

/** A purpose is one line of JSON and begins with a quote. The text begins with a brace, so neither is taken for the other. */
function signature (text: string, secret: string, purpose: string | undefined): string {
  return createHmac('sha256', secret).update(PURPOSE).update(purpose === undefined ? '' : `${JSON.stringify(purpose)}\n`).update(text).digest('base64url')
}
