// A self-signed certificate for TLS servers in tests. Node can create keys, but no certificates.
import { generateKeyPairSync, sign } from 'node:crypto'

const { publicKey, privateKey } = generateKeyPairSync('ed25519')

/** An ASN.1 value in DER. */
function der (tag: number, ...contents: Buffer[]): Buffer {
  const content = Buffer.concat(contents)
  const { length } = content
  return Buffer.concat([Buffer.from(length < 128 ? [tag, length] : [tag, 0x82, length >> 8, length & 255]), content])
}

const sequence = (...contents: Buffer[]): Buffer => der(0x30, ...contents)
const algorithm = sequence(der(0x06, Buffer.from([0x2b, 0x65, 0x70])))
const name = sequence(der(0x31, sequence(der(0x06, Buffer.from([0x55, 0x04, 0x03])), der(0x0c, Buffer.from('localhost')))))
const validity = sequence(der(0x17, Buffer.from('240101000000Z')), der(0x17, Buffer.from('491231235959Z')))
const version = der(0xa0, der(0x02, Buffer.from([2])))
const body = sequence(version, der(0x02, Buffer.from([1])), algorithm, name, validity, name, publicKey.export({ type: 'spki', format: 'der' }))
const certificate = sequence(body, algorithm, der(0x03, Buffer.from([0]), sign(null, body, privateKey)))

export const KEY: string = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
export const CERTIFICATE: string = `-----BEGIN CERTIFICATE-----\n${certificate.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`
