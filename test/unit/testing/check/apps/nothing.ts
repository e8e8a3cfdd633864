// A module that exports no application.
export const value = 1
