import t from 'tap'
import { exampleOf, type Schema } from '../../../../lib/testing/check/example.ts'

const shared: Readonly<Record<string, Schema>> = { 'id#': { type: 'string', format: 'uuid' }, 'base#': { properties: { of: { type: 'string' } } } }
const make = (schema: unknown): unknown => exampleOf(schema, (ref) => shared[ref])

for (const [title, schema, expected] of [
  ['no schema', undefined, '{canary}'],
  ['any value', true, '{canary}'],
  ['an empty schema', {}, '{canary}'],
  ['a string', { type: 'string' }, '{canary}'],
  ['a string or null', { type: ['null', 'string'] }, '{canary}'],
  ['null', { type: ['null'] }, '{canary}'],
  ['null alone', { type: 'null' }, null],
  ['a uuid', { type: 'string', format: 'uuid' }, '{canary}'],
  ['an address of mail', { type: 'string', format: 'email' }, '{canary}@example.com'],
  ['a date', { type: 'string', format: 'date' }, '2026-01-01'],
  ['a short string', { type: 'string', maxLength: 5, minLength: 2 }, 'aa'],
  ['a short string that may be empty', { type: 'string', maxLength: 5 }, 'a'],
  ['a long string', { type: 'string', minLength: 40 }, '{canary}----'],
  ['a pattern that a UUID matches', { type: 'string', pattern: '^[\\w-]+$' }, '{canary}'],
  ['another pattern', { type: 'string', pattern: '^\\d+$' }, '1'],
  ['a constant', { const: 'tea' }, 'tea'],
  ['examples', { type: 'string', examples: ['tea'] }, 'tea'],
  ['an example, as OpenAPI has it', { type: 'string', example: 'tea' }, 'tea'],
  ['a default', { type: 'string', default: '' }, ''],
  ['an enum', { enum: ['tea', 'coffee'] }, 'tea'],
  ['a number', { type: 'integer' }, 1],
  ['a number with a minimum', { type: 'number', minimum: 7 }, 7],
  ['a number above another', { type: 'number', exclusiveMinimum: 7 }, 8],
  ['a number with a maximum', { type: 'number', maximum: -3 }, -3],
  ['a boolean', { type: 'boolean' }, true],
  ['an object', { type: 'object', properties: { a: { type: 'string' }, b: { type: 'integer' } } }, { a: '{canary}', b: 1 }],
  ['an object of which nothing is said', { type: 'object' }, {}],
  ['properties alone', { properties: { a: {} } }, { a: '{canary}' }],
  ['a list', { type: 'array', items: { type: 'string' } }, ['{canary}']],
  ['a list of two', { items: { type: 'integer' }, minItems: 2 }, [1, 1]],
  ['a reference', { $ref: 'id#' }, '{canary}'],
  ['a reference to nothing', { $ref: 'nowhere#' }, '{canary}'],
  ['parts that all hold', { allOf: [{ $ref: 'base#' }, { $ref: 'nowhere#' }, { type: 'object', properties: { sku: { const: 'tea' } } }] }, { of: '{canary}', sku: 'tea' }],
  ['parts without properties', { allOf: [{ type: 'integer' }, { minimum: 4 }] }, 4],
  ['one of several', { oneOf: [{ type: 'integer' }, { type: 'string' }] }, 1],
  ['any of several', { anyOf: [{ $ref: 'id#' }, { type: 'integer' }] }, '{canary}']
] as const) {
  t.test(`an example of ${title}`, async (t) => { t.same(make(schema), expected) })
}

t.test('the example of a schema that refers to itself is finite', async (t) => {
  const node: Schema = { type: 'object', properties: { next: { $ref: '#' } } }
  t.match(JSON.stringify(exampleOf(node, () => node)), /^\{"next":\{"next":.*"\{canary\}"/)
})
