/** Represents the canary in a request. */
export const CANARY = '{canary}'

/** A sample canary, to test whether it fits. */
const SAMPLE = '00000000-0000-4000-8000-000000000000'

/** How deep a schema that refers to itself is followed. */
const MAX_REFERENCES = 8

const FORMATS: Readonly<Record<string, string>> = {
  email: `${CANARY}@example.com`,
  hostname: `${CANARY}.example.com`,
  uri: `https://example.com/${CANARY}`,
  'uri-reference': `/${CANARY}`,
  'date-time': '2026-01-01T00:00:00Z',
  date: '2026-01-01',
  time: '00:00:00Z',
  duration: 'P1D',
  ipv4: '192.0.2.1',
  ipv6: '2001:db8::1'
}

/** The parts of a JSON Schema that are used. */
export interface Schema {
  readonly [keyword: string]: any
}

/** Finds the schema that a `$ref` names. */
export type Lookup = (ref: string) => Schema | undefined

/**
 * A value that a JSON Schema allows. Values in the schema (`const`, `examples`, `example`, `default`, `enum`) take precedence. Any other
 * string is the canary, if its format allows.
 */
export function exampleOf (schema: unknown, lookup: Lookup, depth = 0): unknown {
  if (typeof schema !== 'object' || schema === null || depth > MAX_REFERENCES) return CANARY
  const { $ref, allOf, anyOf, oneOf, ...rest } = schema as Schema
  if (typeof $ref === 'string') return exampleOf(lookup($ref), lookup, depth + 1)
  const given = givenBy(rest)
  if (given !== undefined) return given
  if (Array.isArray(allOf)) return exampleOf(Object.assign({}, rest, ...allOf.map((part: Schema) => resolved(part, lookup)), { properties: propertiesOf([rest, ...allOf], lookup) }), lookup, depth + 1)
  const choice: unknown = (anyOf ?? oneOf)?.[0]
  if (choice !== undefined) return exampleOf({ ...rest, ...resolved(choice as Schema, lookup) }, lookup, depth + 1)
  switch (typeOf(rest)) {
    case 'object': return Object.fromEntries(Object.entries(rest.properties as object ?? {}).map(([name, property]) => [name, exampleOf(property, lookup, depth + 1)]))
    case 'array': return Array.from({ length: Math.max(1, rest.minItems ?? 0) }, () => exampleOf(rest.items, lookup, depth + 1))
    case 'integer':
    case 'number': return rest.minimum ?? (rest.exclusiveMinimum === undefined ? Math.min(1, rest.maximum ?? 1) : rest.exclusiveMinimum + 1)
    case 'boolean': return true
    case 'null': return null
    default: return stringOf(rest)
  }
}

function givenBy ({ const: constant, examples, example, default: byDefault, enum: values }: Schema): unknown {
  return constant ?? examples?.[0] ?? example ?? byDefault ?? values?.[0]
}

function typeOf ({ type, properties, items }: Schema): string {
  const named: unknown = Array.isArray(type) ? type.find((name) => name !== 'null') : type
  return String(named ?? (properties !== undefined ? 'object' : items !== undefined ? 'array' : 'string'))
}

function stringOf ({ format, pattern, minLength = 0, maxLength = Infinity }: Schema): string {
  const known = FORMATS[format]
  if (known !== undefined) return known
  if (maxLength < SAMPLE.length) return 'a'.repeat(Math.max(1, minLength))
  // A guess: most patterns that refuse a UUID require a number.
  if (pattern !== undefined && !new RegExp(pattern, 'u').test(SAMPLE)) return '1'
  return CANARY.padEnd(minLength - SAMPLE.length + CANARY.length, '-')
}

function resolved (schema: Schema, lookup: Lookup): Schema {
  return typeof schema.$ref === 'string' ? lookup(schema.$ref) ?? {} : schema
}

function propertiesOf (schemas: readonly Schema[], lookup: Lookup): Schema | undefined {
  const properties = schemas.map((schema) => resolved(schema, lookup).properties as Schema | undefined).filter((found) => found !== undefined)
  return properties.length === 0 ? undefined : Object.assign({}, ...properties)
}
