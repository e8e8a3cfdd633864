// On Node 20 a thread needs help with TypeScript. In a built program, give the pool the built file instead.
import { tsImport } from 'tsx/esm/api'

const { default: module } = await tsImport('./report.ts', import.meta.url)
export default module.default ?? module
