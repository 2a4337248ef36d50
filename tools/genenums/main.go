// Genenums generates the Go constants of the kernel's BPF enumerations from the copy of the UAPI header in libbpf's
// sources.
//
//	genenums build/include/linux/bpf.h >enums.go
//
// The names are libbpfgo's. They are derived from the header's names by a rule, whose exceptions are listed here.
package main

import (
	"bytes"
	"fmt"
	"go/format"
	"log"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// An enumeration describes an enum of the header and its Go type.
type enumeration struct {
	enum   string // its name in C
	goType string
	doc    string
	// prefix is removed from the beginning of the constants' C names.
	prefix string
	// omit matches the C names of constants that get no Go constant, such as the number of values.
	omit *regexp.Regexp
	// words maps a word of a C name to its Go form, if that isn't the word with an initial capital.
	words map[string]string
	// names maps a constant's C name to its Go name, without the type, if the rule doesn't apply.
	names map[string]string
	// goPrefix is the prefix of the constants' Go names. If it is empty, their type is.
	goPrefix string
	// example is the result of String for one of the values, for the documentation. unknown is the result for values
	// without a name; if it is empty, the result is the name of the first value.
	example, unknown string
	// libbpfExample is the result of Name, which calls libbpf's function libbpf_ENUM_str, for the same value. If it is
	// empty, the type has no method Name.
	libbpfExample string
}

var enumerations = []enumeration{
	{
		enum: "bpf_map_type", goType: "MapType", prefix: "BPF_MAP_TYPE_",
		example: "BPF_MAP_TYPE_RINGBUF", libbpfExample: "ringbuf",
		doc:  "MapType is a kind of BPF map (enum bpf_map_type).",
		omit: regexp.MustCompile(`^__MAX|_DEPRECATED$`),
		words: map[string]string{
			"PERCPU": "PerCPU", "LRU": "LRU", "LPM": "LPM", "DEVMAP": "DevMap", "SOCKMAP": "SockMap", "CPUMAP": "CPUMap",
			"XSKMAP": "XSKMap", "SOCKHASH": "SockHash", "REUSEPORT": "ReusePort", "SOCKARRAY": "SockArray", "SK": "SK",
		},
		names: map[string]string{"BPF_MAP_TYPE_DEVMAP_HASH": "DevmapHash"},
	},
	{
		enum: "bpf_prog_type", goType: "BPFProgType", prefix: "BPF_PROG_TYPE_",
		example: "BPF_PROG_TYPE_RAW_TRACEPOINT", libbpfExample: "raw_tracepoint",
		doc:   "BPFProgType is a kind of BPF program (enum bpf_prog_type).",
		omit:  regexp.MustCompile(`^__MAX`),
		words: map[string]string{"SEG6LOCAL": "Seg6Local"},
	},
	{
		enum: "bpf_attach_type", goType: "BPFAttachType", prefix: "BPF_",
		example: "BPF_TRACE_FENTRY", libbpfExample: "trace_fentry",
		unknown: "BPFAttachType unspecified",
		doc:     "BPFAttachType is a kind of hook that a program is attached to (enum bpf_attach_type).",
		omit:    regexp.MustCompile(`^__MAX`),
		words: map[string]string{
			"SK": "SK", "SKB": "SKB", "MSG": "MSG", "UDP4": "UDP4", "UDP6": "UDP6", "SENDMSG": "SendMsg", "RECVMSG": "RecvMsg",
			"GETSOCKOPT": "GetSockOpt", "SETSOCKOPT": "SetSockOpt", "TP": "TP", "LSM": "LSM", "GETPEERNAME": "GetPeerName",
			"GETSOCKNAME": "GetSockName", "XDP": "XDP", "DEVMAP": "DevMap", "CPUMAP": "CPUMap", "REUSEPORT": "ReusePort", "TCX": "TCX",
		},
		names: map[string]string{"BPF_SK_REUSEPORT_SELECT_OR_MIGRATE": "SKReusePortSelectorMigrate"},
	},
	{
		enum: "bpf_link_type", goType: "BPFLinkType", prefix: "BPF_LINK_TYPE_",
		example: "BPF_LINK_TYPE_TRACING", libbpfExample: "tracing",
		doc:   "BPFLinkType is the kernel's type of a link (enum bpf_link_type).",
		omit:  regexp.MustCompile(`^__MAX`),
		words: map[string]string{"XDP": "XDP", "TCX": "TCX", "SOCKMAP": "SockMap"},
	},
}

// A group describes constants whose Go type is declared in another file.
type group struct {
	enumeration
	// from is the C name of one of the constants. The others are in the same unnamed enum or the same paragraph of
	// macros. It is empty if enum names an enum.
	from string
	// notes are additions to the constants' comments, by C name.
	notes map[string]string
}

var groups = []group{
	{
		enumeration: enumeration{
			goType: "AttachFlag", prefix: "BPF_F_", doc: "The flags for attaching a program to a hook that may have other programs, from the header.",
			words: map[string]string{"ID": "ID"}, goPrefix: "BPFF",
		},
		from: "BPF_F_ALLOW_OVERRIDE",
	},
	{
		enumeration: enumeration{
			goType: "MapFlag", prefix: "BPF_F_", doc: "The flags of operations on elements, from the header.",
			words: map[string]string{"CPU": "CPU", "CPUS": "CPUs"},
			names: map[string]string{"BPF_ANY": "UpdateAny", "BPF_NOEXIST": "UpdateNoExist", "BPF_EXIST": "UpdateExist"},
		},
		from: "BPF_ANY",
		notes: map[string]string{
			"BPF_ANY":        "create an element or update it",
			"BPF_NOEXIST":    "create an element, fail if it exists",
			"BPF_EXIST":      "update an element, fail if it doesn't exist",
			"BPF_F_LOCK":     "hold the element's spin lock during the operation",
			"BPF_F_CPU":      "for per-CPU maps: the value of CPU 0 only, as 32 bits have no room for another CPU's number (Linux 7.0)",
			"BPF_F_ALL_CPUS": "for per-CPU maps: update with one value for all CPUs (Linux 7.0)",
		},
	},
	{
		enumeration: enumeration{
			goType: "MapFlag", prefix: "BPF_F_", doc: "The flags of [BPFMap.SetMapFlags] and [CreateMap], from the header.",
			words: map[string]string{
				"LRU": "LRU", "NUMA": "NUMA", "RDONLY": "ReadOnly", "WRONLY": "WriteOnly", "ID": "ID", "FD": "FD",
				"BTF": "BTF", "VTYPE": "VType", "RB": "RB",
			},
		},
		from: "BPF_F_NO_PREALLOC",
	},
	{
		enumeration: enumeration{
			goType: "RunFlag", prefix: "BPF_F_TEST_", doc: "The flags of [RunOpts], from the header.",
			words: map[string]string{"CPU": "CPU", "XDP": "XDP", "SKB": "SKB"},
		},
		from: "BPF_F_TEST_RUN_ON_CPU",
		notes: map[string]string{
			"BPF_F_TEST_RUN_ON_CPU":            "for raw tracepoints: run on RunOpts.CPU",
			"BPF_F_TEST_XDP_LIVE_FRAMES":       "for XDP: forward the frames as the program decides (Linux 5.18)",
			"BPF_F_TEST_SKB_CHECKSUM_COMPLETE": "for packets: with a checksum; Run returns syscall.EBADMSG if the program leaves a wrong one (Linux 6.11 and 6.1.175)",
		},
	},
	{
		enumeration: enumeration{
			enum: "bpf_cgroup_iter_order", goType: "BPFCgroupIterOrder", prefix: "BPF_CGROUP_ITER_",
			doc: "The orders in which an iterator visits cgroups, from the header.", goPrefix: "BPFIter",
		},
		notes: map[string]string{"BPF_CGROUP_ITER_CHILDREN": "the direct children of the cgroup, without itself (Linux 7.0)"},
	},
}

// A constant is an enumerator.
type constant struct {
	c, name string
	value   int64
	alias   bool // an earlier constant has the same value, whose name String returns
	note    string
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("genenums: ")
	if len(os.Args) != 2 {
		log.Fatal("usage: genenums path/to/linux/bpf.h")
	}
	header, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	text := comments.ReplaceAllString(string(header), "")

	var out bytes.Buffer
	fmt.Fprintln(&out, "// Code generated by tools/genenums from libbpf's linux/bpf.h; DO NOT EDIT.")
	fmt.Fprint(&out, `
//go:build cgo && linux

package libbpfgo

/*
#include "helpers_cgo.h"
*/
import "C"

// nameOf returns the name of an enumeration's value, or unknown.
func nameOf[T ~uint32](names []string, value T, unknown string) string {
	if int64(value) < int64(len(names)) && names[value] != "" {
		return names[value]
	}
	return unknown
}
`)
	for _, e := range enumerations {
		e.write(&out, e.constants(text))
	}
	helper := enumeration{
		goType: "BPFFunc", example: "map_lookup_elem",
		doc: "BPFFunc is the number of a helper function that programs can call (enum bpf_func_id).",
	}
	helper.write(&out, helpers(text))

	for _, g := range groups {
		fmt.Fprintf(&out, "\n// %s\n", g.doc)
		writeConstants(&out, g.goType, g.constants(text))
	}

	source, err := format.Source(out.Bytes())
	if err != nil {
		log.Fatal(err)
	}
	if _, err := os.Stdout.Write(source); err != nil {
		log.Fatal(err)
	}
}

// comments matches the comments of the header. A comment that fills whole lines includes their line ends, so that
// removing it doesn't leave an empty line, which would end a paragraph of macros.
var comments = regexp.MustCompile(`(?m)^[ \t]*` + comment + `[ \t]*\n|` + comment + `|//.*`)

const comment = `/\*(?:[^*]|\*+[^*/])*\*+/`

// constants returns the enumerators of e, in the header's order.
func (e enumeration) constants(header string) []constant {
	_, body, ok := strings.Cut(header, "enum "+e.enum+" {")
	body, _, closed := strings.Cut(body, "};")
	if !ok || !closed {
		log.Fatalf("the header has no enum %s", e.enum)
	}
	var list []constant
	values := make(map[string]int64)
	next := int64(0)
	for _, item := range strings.Split(body, ",") {
		c, expression, assigned := strings.Cut(item, "=")
		c = strings.TrimSpace(c)
		if c == "" {
			continue
		}
		if assigned {
			expression = strings.TrimSpace(expression)
			value, err := strconv.ParseInt(expression, 0, 64)
			if err != nil {
				known := false
				if value, known = values[expression]; !known {
					log.Fatalf("%s is %q, which is neither a number nor an earlier constant", c, expression)
				}
			}
			next = value
		}
		values[c] = next
		if e.omit == nil || !e.omit.MatchString(c) {
			alias := slices.ContainsFunc(list, func(other constant) bool { return other.value == next })
			list = append(list, constant{c: c, name: e.goName(c), value: next, alias: alias})
		}
		next++
	}
	return list
}

// constants returns the group's constants, in the header's order.
func (g group) constants(header string) []constant {
	var list []constant
	if g.enum != "" {
		list = g.enumeration.constants(header)
	} else {
		together := regexp.MustCompile(`enum \{[^}]*\b` + g.from + `\b[^}]*\}|#define ` + g.from + `\b(.+\n)+`).FindString(header)
		for _, m := range regexp.MustCompile(`(?m)(?:^|,|#define)\s*(BPF_\w+)`).FindAllStringSubmatch(together, -1) {
			list = append(list, constant{c: m[1], name: g.goName(m[1]), value: flag(header, m[1])})
		}
	}
	if len(list) == 0 {
		log.Fatalf("the header has no flags like %s", g.from)
	}
	for i, c := range list {
		if note := g.notes[c.c]; note != "" {
			list[i].note = ", " + note
		}
	}
	return list
}

// flag returns the value of a constant that is defined as a number or as a shifted bit.
func flag(header, c string) int64 {
	m := regexp.MustCompile(`\b` + c + `\s*=?\s*(?:(\d+)|\(1U << (\d+)\))`).FindStringSubmatch(header)
	if m == nil {
		log.Fatalf("the header has no flag %s", c)
	}
	n, err := strconv.ParseInt(m[1]+m[2], 10, 64)
	if err != nil {
		log.Fatal(err)
	}
	if m[2] != "" {
		return 1 << n
	}
	return n
}

func (e enumeration) goName(c string) string {
	if name := e.names[c]; name != "" {
		return e.goType + name
	}
	name := e.goPrefix
	if name == "" {
		name = e.goType
	}
	for word := range strings.SplitSeq(strings.TrimPrefix(c, e.prefix), "_") {
		if special := e.words[word]; special != "" {
			name += special
		} else {
			name += word[:1] + strings.ToLower(word[1:])
		}
	}
	return name
}

// helpers returns the helper functions, which are listed in a macro of the header.
func helpers(header string) []constant {
	var list []constant
	for _, m := range regexp.MustCompile(`\bFN\((\w+), (\d+), ##ctx\)`).FindAllStringSubmatch(header, -1) {
		name := "BPFFunc"
		for word := range strings.SplitSeq(m[1], "_") {
			name += strings.ToUpper(word[:1]) + word[1:]
		}
		value, err := strconv.ParseInt(m[2], 10, 64)
		if err != nil {
			log.Fatal(err)
		}
		list = append(list, constant{c: m[1], name: name, value: value})
	}
	if len(list) == 0 {
		log.Fatal("the header has no list of helper functions")
	}
	return list
}

// write writes a type, its constants, the table of their C names, and the methods that return the names.
func (e enumeration) write(out *bytes.Buffer, list []constant) {
	t := e.goType
	fmt.Fprintf(out, "\n// %s\ntype %s uint32\n\n// The values of %s.\n", e.doc, t, t)
	writeConstants(out, t, list)
	fmt.Fprintf(out, "\n// The names of the values of %s in C.\nvar names%s = [...]string{\n", t, t)
	for _, c := range list {
		if !c.alias {
			fmt.Fprintf(out, "%s: %q,\n", c.name, c.c)
		}
	}
	fmt.Fprintln(out, "}")

	first := list[0].name
	unknown, unknownDoc := "names"+t+"["+first+"]", "the name of ["+first+"]"
	if e.unknown != "" {
		unknown = strconv.Quote(e.unknown)
		unknownDoc = unknown
	}
	fmt.Fprintf(out, "\n// String returns the value's name in C, such as %q; %s if the value isn't known.\n", e.example, unknownDoc)
	fmt.Fprintf(out, "func (t %s) String() string { return nameOf(names%s[:], t, %s) }\n", t, t, unknown)
	if e.libbpfExample == "" {
		return
	}
	fmt.Fprintf(out, "\n// Name returns libbpf's name of the value, such as %q; the empty string if the linked libbpf\n", e.libbpfExample)
	fmt.Fprintf(out, "// doesn't know it.\n//\n// Implements: libbpf_%s_str\n", e.enum)
	fmt.Fprintf(out, "func (t %s) Name() string { return C.GoString(C.libbpf_%s_str(C.enum_%s(t))) }\n", t, e.enum, e.enum)
}

func writeConstants(out *bytes.Buffer, goType string, list []constant) {
	fmt.Fprintln(out, "const (")
	for _, c := range list {
		fmt.Fprintf(out, "%s %s = %d // %s%s\n", c.name, goType, c.value, c.c, c.note)
	}
	fmt.Fprintln(out, ")")
}
