import * as v from 'valibot'
import { z } from 'zod'
import { createContext, key, type Own, type Present, type ValuesOf } from '../lib/index.ts'
import { expectEqual, expectType } from './expect.ts'

const ctx = createContext({
  tenant: key({ schema: z.uuid(), seed: (request) => request.headers['x-tenant-id'], log: (tenant) => tenant.length }),
  plan: key({ schema: v.picklist(['free', 'paid']) }),
  page: key({ schema: z.coerce.number(), seed: (request) => request.headers['x-page'] ?? '1' }),
  perhaps: key({ schema: z.string().optional(), seed: () => 'x' }),
  explicit: key<string>({ schema: z.string(), seed: () => 'x' })
})

export function theTypeIsWhatTheSchemaReturns () {
  expectEqual<Omit<ValuesOf<typeof ctx>, 'requestId' | keyof Own<unknown>>, {
    tenant: string
    plan: 'free' | 'paid'
    page: Present<number>
    perhaps: string
    explicit: Present<string>
  }>(true)
  expectType<number | undefined>().of(ctx.get('page'))

  // A value that the schema does not return.
  // @ts-expect-error
  ctx.run({ plan: 'none' }, () => {})

  // Not a schema.
  // @ts-expect-error
  key({ schema: {} })
}
