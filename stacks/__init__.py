"""What each kind of stack is made of. Pulumi's stack files live here too (`stackConfigDir` in Pulumi.yaml)."""
