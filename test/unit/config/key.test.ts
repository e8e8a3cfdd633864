import t from 'tap'
import { key } from '../../../lib/config/key.ts'
import { readKeys } from '../../../lib/config/key-policies.ts'

t.test('key: its policy as it was given; closed without one', async (t) => {
  const log = (user: { id: string }): string => user.id
  t.same(readKeys({ tenant: key<string>() }).logged, [])
  t.same(readKeys({ tenant: key<string>() }).seeds, [])
  t.same([...readKeys({ tenant: key<string>() }).carried], [])
  t.same([...readKeys({ tenant: key<string>() }).headers], [])
  t.same(readKeys({ user: key<{ id: string }>({ log }) }).logged, [{ name: 'user', log }])
  const carry = { pack: log, unpack: (id: string) => ({ id }) }
  t.same([...readKeys({ user: key<{ id: string }>({ carry, header: 'x-user' }) }).carried], [['user', carry]])
})
