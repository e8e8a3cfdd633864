// What a thread begins with: Node 20 needs help with TypeScript, and `--import tsx` is none in a thread.
import { workerData } from 'node:worker_threads'

if (!process.features.typescript) (await import('tsx/esm/api')).register()
const file = await import(workerData.file)

export default file.default
export const byVariable = file.byVariable
