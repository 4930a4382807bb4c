// What Pulumi does with `toolchain: uv`, by Pulumi's own code:
//
//	uv_toolchain PROJECT install        what `pulumi install` does
//	uv_toolchain PROJECT run ARGS...    what every preview and up does: sync, then that Python with ARGS
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/python/toolchain"
)

func main() {
	if err := work(context.Background(), os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func work(ctx context.Context, project, action string, arguments []string) error {
	uv, err := toolchain.ResolveToolchain(toolchain.PythonOptions{Root: project, ProgramDir: project, Toolchain: toolchain.Uv})
	if err != nil {
		return err
	}
	if action == "install" {
		return uv.InstallDependencies(ctx, project, false, true, os.Stdout, os.Stderr)
	}
	python, err := uv.Command(ctx, arguments...)
	if err != nil {
		return err
	}
	python.Stdout, python.Stderr = os.Stdout, os.Stderr
	return python.Run()
}
