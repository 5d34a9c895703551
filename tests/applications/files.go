// A heap that grows and is collected, beside file work: Go takes for granted that its memory grows in one piece.
package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sort"
)

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func main() {
	base := os.Args[1]
	var kept [][]byte
	for round := 0; round < 4; round++ {
		kept = nil
		for i := 0; i < 55; i++ {
			block := make([]byte, 1<<20)
			for at := 0; at < len(block); at += 4096 {
				block[at] = byte(i)
			}
			kept = append(kept, block)
		}
		for i, block := range kept {
			if block[4096] != byte(i) {
				fmt.Println("a block was overwritten")
				os.Exit(1)
			}
		}
		runtime.GC()
		for i := 0; i < 500; i++ {
			folder := filepath.Join(base, fmt.Sprint(round), fmt.Sprint(i%10))
			check(os.MkdirAll(folder, 0o755))
			check(os.WriteFile(filepath.Join(folder, fmt.Sprint(i)), kept[i%55][:8192], 0o644))
		}
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	fmt.Println("heap grew and was collected:", stats.HeapSys > 55<<20, stats.NumGC >= 4)

	var names []string
	whole := sha256.New()
	check(filepath.WalkDir(base, func(path string, entry fs.DirEntry, err error) error {
		check(err)
		if entry.Type().IsRegular() {
			names = append(names, path)
			bytes, err := os.ReadFile(path)
			check(err)
			whole.Write(bytes)
		}
		return nil
	}))
	sort.Strings(names)
	fmt.Printf("%d files, %x\n", len(names), whole.Sum(nil)[:8])
	check(os.Rename(filepath.Join(base, "0"), filepath.Join(base, "moved")))
	_, err := os.Stat(filepath.Join(base, "0", "1"))
	fmt.Println("moved:", os.IsNotExist(err))
	check(os.Symlink("moved/1", filepath.Join(base, "link")))
	entries, err := os.ReadDir(filepath.Join(base, "link"))
	check(err)
	fmt.Println("through the link:", len(entries))
	check(os.RemoveAll(base))
	_, err = os.Stat(base)
	fmt.Println("gone:", os.IsNotExist(err))
}
