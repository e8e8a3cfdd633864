// A module that does not export an application.
export const value = 1
