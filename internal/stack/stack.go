// Package stack has only tests: of what the compiler puts on the stack in a package that uses the library. They can't be
// tests of the root package, which imports nothing of this module, see TestRootImportsNothingOfTheModule.
package stack
