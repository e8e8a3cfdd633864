import type { StandardSchemaV1 } from '@standard-schema/spec'
import { FST_CTX_ASYNC_SCHEMA, FST_CTX_INVALID_VALUE } from '../common/errors.ts'

/** A schema of zod, valibot, arktype or any other library that implements Standard Schema: https://standardschema.dev */
export type Schema<T = unknown> = StandardSchemaV1<any, T>

type Read = (request: any) => unknown

/** Whether a value is a schema. In some libraries schemas are functions. */
export function isSchema (value: unknown): value is Schema {
  const isHolder = (typeof value === 'object' && value !== null) || typeof value === 'function'
  return isHolder && typeof (value as Partial<Schema>)['~standard']?.validate === 'function'
}

/**
 * Validates a value with a schema, and returns the output.
 *
 * @returns a promise if the schema validates asynchronously
 * @throws FST_CTX_INVALID_VALUE the value does not match
 */
export function check (name: string, value: unknown, schema: Schema): unknown {
  if (value === undefined) return undefined
  const result = schema['~standard'].validate(value)
  return result instanceof Promise ? result.then((settled) => valueOf(name, settled)) : valueOf(name, result)
}

/**
 * The same for a call that cannot wait.
 *
 * @throws FST_CTX_INVALID_VALUE the value does not match
 * @throws FST_CTX_ASYNC_SCHEMA the schema validates asynchronously
 */
export function checkNow (name: string, value: unknown, schema: Schema | undefined): unknown {
  if (schema === undefined) return value
  const checked = check(name, value, schema)
  if (!(checked instanceof Promise)) return checked
  // Nothing awaits it.
  checked.catch(() => {})
  throw new FST_CTX_ASYNC_SCHEMA(name)
}

/** Combines schemas into one: a value passes through each in turn. */
export function everyOf (schemas: readonly Schema[]): Schema {
  return schemas.reduce((before, after) => ({
    '~standard': {
      version: 1,
      vendor: 'fastify-ctx',
      validate (value) {
        const next = (result: StandardSchemaV1.Result<unknown>): ReturnType<typeof after['~standard']['validate']> => result.issues === undefined ? after['~standard'].validate(result.value) : result
        const result = before['~standard'].validate(value)
        return result instanceof Promise ? result.then(next) : next(result)
      }
    }
  }))
}

/** A seed whose value is checked. A mismatch is a client error. */
export function checkedSeed (name: string, seed: Read, schema: Schema): Read {
  return (request) => {
    const value = seed(request)
    if (typeof (value as PromiseLike<unknown> | undefined)?.then === 'function') return Promise.resolve(value).then((value) => check(name, value, schema)).catch(blameClient)
    try {
      const checked = check(name, value, schema)
      return checked instanceof Promise ? checked.catch(blameClient) : checked
    } catch (error) {
      return blameClient(error)
    }
  }
}

function blameClient (error: unknown): never {
  throw error instanceof FST_CTX_INVALID_VALUE ? Object.assign(error as Error, { statusCode: 400 }) : error
}

/** Issues may contain the value. They are available to code, but never logged or sent. */
function valueOf (name: string, result: StandardSchemaV1.Result<unknown>): unknown {
  if (result.issues === undefined) return result.value
  throw Object.defineProperty(new FST_CTX_INVALID_VALUE(name), 'issues', { value: result.issues, enumerable: false })
}
