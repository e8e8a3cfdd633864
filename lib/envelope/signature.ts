import { createHmac, timingSafeEqual } from 'node:crypto'

/** What is signed is said with it: the same secret may sign other things elsewhere. */
const PURPOSE = 'fastify-ctx envelope 1\n'

/** A signed text ends with its signature, as the last member of its object. */
const SIGNED = /^(.*),"signature":"([\w-]{43})"\}$/s

/** Adds its HMAC-SHA-256 to the JSON text of an object that has other members. */
export function sign (text: string, secret: string): string {
  return `${text.slice(0, -1)},"signature":"${signature(text, secret)}"}`
}

/** A text without its signature, and whether one of the secrets made that. */
export function readSignature (text: string, secrets: readonly string[]): { readonly text: string, readonly valid: boolean } {
  const [, start, given] = SIGNED.exec(text) ?? []
  if (start === undefined) return { text, valid: false }
  const signed = `${start}}`
  // As texts: several of them decode to the same bytes. Each is compared, in constant time: nobody learns from the time how
  // near a forgery was.
  const claimed = Buffer.from(given!)
  const valid = secrets.filter((secret) => timingSafeEqual(Buffer.from(signature(signed, secret)), claimed)).length > 0
  return { text: signed, valid }
}

function signature (text: string, secret: string): string {
  return createHmac('sha256', secret).update(PURPOSE).update(text).digest('base64url')
}
