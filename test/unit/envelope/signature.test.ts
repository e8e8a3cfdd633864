import crypto, { createHmac } from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import fc from 'fast-check'
import t from 'tap'
import { readSignature, sign } from '../../../lib/envelope/signature.ts'

const [FIRST, SECOND, OTHER] = ['first', 'second', 'other'].map((name) => `${name} secret of more than 32 characters`) as [string, string, string]
const TEXT = '{"v":1,"requestId":"r-1","values":{"tenant":"acme"}}'

t.test('sign appends an HMAC-SHA-256 of the text and its purpose as the last member', async (t) => {
  const signed = sign(TEXT, FIRST)
  const mac = createHmac('sha256', FIRST).update(`fastify-ctx envelope 1\n${TEXT}`).digest('base64url')
  t.equal(signed, `${TEXT.slice(0, -1)},"signature":"${mac}"}`)
  t.same(JSON.parse(signed), { ...JSON.parse(TEXT) as object, signature: mac })
  t.not(mac, createHmac('sha256', FIRST).update(TEXT).digest('base64url'), 'it differs from an HMAC of the text alone')
})

t.test('readSignature returns the original text, valid with any of the secrets', async (t) => {
  const signed = sign(TEXT, FIRST)
  for (const secrets of [[FIRST], [SECOND, FIRST], [FIRST, SECOND], [SECOND, OTHER, FIRST], [FIRST, FIRST]]) {
    t.same(readSignature(signed, secrets), { text: TEXT, valid: true })
  }
  for (const secrets of [[], [SECOND], [SECOND, OTHER], [FIRST.slice(1)], [`${FIRST} `]]) {
    t.same(readSignature(signed, secrets), { text: TEXT, valid: false })
  }
})

t.test('a text without a signature at its end is returned unchanged, and is not valid', async (t) => {
  const signature = 'A'.repeat(43)
  for (const text of [
    '', '{}', TEXT, '"signature"', `{"signature":"${signature}"}`, `{"v":1,"signature":"${signature.slice(1)}"}`, `{"v":1,"signature":"${signature}A"}`,
    `{"v":1,"signature":"${signature.slice(1)}="}`, `{"v":1,"signature":"${signature}"} `, `{"v":1,"signature":"${signature}"}\n`, `{"v":1,"values":{"a":1,"signature":"${signature}"}}`,
    `{"v":1,"signature":"${signature}","w":2}`, `{"v":1, "signature":"${signature}"}`, `{"v":1,"signature":"${'é'.repeat(43)}"}`
  ]) t.same(readSignature(text, [FIRST]), { text, valid: false }, text)
})

t.test('a signature is valid only in its exact spelling, not in another one that decodes to the same bytes', async (t) => {
  const signed = sign(TEXT, FIRST)
  const last = signed.at(-3)!
  const others = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'].filter((other) => other !== last)
  t.equal(others.length, 63)
  for (const other of others) {
    const altered = `${signed.slice(0, -3)}${other}"}`
    t.equal(readSignature(altered, [FIRST]).valid, false, `${other} for ${last}`)
  }
})

t.test('a signature covers the whole text: no byte may change or be missing', async (t) => {
  const signed = sign(TEXT, FIRST)
  for (let i = 0; i < signed.length; i++) {
    const flipped = `${signed.slice(0, i)}${String.fromCharCode(signed.charCodeAt(i) ^ 1)}${signed.slice(i + 1)}`
    t.equal(readSignature(flipped, [FIRST]).valid, false)
    t.equal(readSignature(signed.slice(0, i), [FIRST]).valid, false)
    t.equal(readSignature(signed.slice(0, i) + signed.slice(i + 1), [FIRST]).valid, false)
  }
  const [, mac] = /"signature":"(.*)"/.exec(signed)!
  t.equal(readSignature(`${signed.slice(0, -1)},"signature":"${mac}"}`, [FIRST]).valid, false, 'signed twice with the same signature')
})

t.test('a text that contains something like a signature is signed as a whole', async (t) => {
  const nested = sign(sign(TEXT, SECOND), FIRST)
  t.same(readSignature(nested, [FIRST]), { text: sign(TEXT, SECOND), valid: true })
  t.equal(readSignature(nested, [SECOND]).valid, false)
  const inValue = sign(JSON.stringify({ v: 1, a: sign(TEXT, SECOND) }), FIRST)
  t.same(readSignature(inValue, [FIRST]), { text: JSON.stringify({ v: 1, a: sign(TEXT, SECOND) }), valid: true })
})

t.test('any JSON can be signed, including line breaks and surrogates; random texts never throw and are never valid', async (t) => {
  fc.assert(fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue(), { minKeys: 1 }), (object) => {
    const text = JSON.stringify(object)
    const read = readSignature(sign(text, FIRST), [SECOND, FIRST])
    return read.valid && read.text === text
  }), { numRuns: 200, seed: 1 })
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => !readSignature(text, [FIRST, SECOND]).valid), { numRuns: 200, seed: 2 })
  t.pass('no counterexample')
})

t.test('the comparison takes constant time: timingSafeEqual on equally many bytes, for each secret', async (t) => {
  const { timingSafeEqual } = crypto
  const compared: number[][] = []
  crypto.timingSafeEqual = (a, b) => {
    compared.push([a.byteLength, b.byteLength])
    return timingSafeEqual(a, b)
  }
  syncBuiltinESMExports()
  t.teardown(() => {
    crypto.timingSafeEqual = timingSafeEqual
    syncBuiltinESMExports()
  })
  t.equal(readSignature(sign(TEXT, FIRST), [FIRST, SECOND, OTHER]).valid, true)
  t.equal(readSignature(`${TEXT.slice(0, -1)},"signature":"${'A'.repeat(43)}"}`, [FIRST, SECOND]).valid, false)
  t.same(compared, Array(5).fill([43, 43]))
})
