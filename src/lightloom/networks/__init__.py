"""Plain nn.Modules and thin builders: normalised images (B, C, H, W) in, logits (B, num_classes) out."""
